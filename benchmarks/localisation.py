"""Do a model's heat maps lie on the lesions? Energy inside them and the pointing game beside chance, with intervals by patient.

For the demo's models: pictures that no model has seen (another seed), with masks of where the disease shows.

usage: cxr ingest FRESH fresh-records      FRESH: a manifest with the column `mask` (docs/data.md)
       python benchmarks/localisation.py workspace/demo/serving_models fresh-records [--models ensemble mobilenet] [--json FILE]
An ensemble's members are measured with it. Without --models: all that the folder holds.
"""

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cxr.components.explanation.explain import explain_split
from cxr.components.explanation.result import Localisation
from cxr.core.places import records_in
from cxr.serving.models_config import versions_in
from cxr.trainer.model_info import read_info

EVERY = 2**31  # images; all that there are


def measured(model: Path, records: Path) -> tuple[Localisation, ...]:
    """Explains all images of the records, whatever their split, for the class of the lesion."""
    info = read_info(str(model))
    with tempfile.TemporaryDirectory() as out:
        patterns = [records_in(str(split)) for split in records.iterdir() if split.is_dir()]
        names = list(info.class_names)
        return explain_split(info.name, str(model), patterns, names, Path(out), split="all", samples=EVERY, seed=0).localisation


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models_dir", type=Path)
    parser.add_argument("records", type=Path)
    parser.add_argument("--models", nargs="+", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, found = Console(), []
    for name in options.models or sorted(child.name for child in options.models_dir.iterdir() if child.is_dir()):
        base = options.models_dir / name
        found += [(name, row) for row in measured(base / str(versions_in(base)[-1]), options.records)]
    table = Table(title="heat inside the lesions, for the class of the lesion (95 % intervals by patient)")
    for column in ("asked", "map of", "images", "patients", "empty", "inside", "area", "inside others'", "hits"):
        table.add_column(column)
    for name, row in found:
        numbers = (row.images, row.patients, row.empty, row.energy, row.area, row.elsewhere, row.hits)
        table.add_row(name, row.model, *map(str, numbers))
    console.print(table)
    for _, row in found:
        console.print(f"{row.model}: {row.verdict}", highlight=False, soft_wrap=True)
    if options.json:
        options.json.write_text(
            json.dumps([{"asked": name, **row.model_dump(mode="json")} for name, row in found], indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

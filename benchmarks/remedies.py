"""What remedies against shortcuts are worth: options of `preprocessing`, of `augmentation` and of the training, beside none of them.

Frozen backbones of the configuration `cpu`; for each remedy its head, trained as in a run, and logistic regression on the same features.
Nothing is measured on pictures of a patient, or of a source, that was learnt from:

  by patient       folds by patient; the same with the frame of the pictures black, and with the lungs black (data/audit/regions.py)
  without SOURCE   learnt from all other sources
  elsewhere        learnt from all images, asked about another hospital's without near copies of them

Figures are balanced accuracies, with 95 % intervals by bootstrap over patients; the change against "none" is paired. The test split is not
read. Features and answers are kept below --cache, and taken from there by the next call: remove it after a change of the code.

usage: python benchmarks/remedies.py RECORDS [--elsewhere RECORDS] [--models mobilenet,densenet201] [--only 'none; clahe'] [--cache DIR]
         [--json FILE]

RECORDS are folders that `cxr ingest` wrote (--elsewhere: with --split test). MobileNet with six of them
took 33 minutes on 2 cores that had a dozen other jobs.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from remedy_answers import CONFIG, LEARNERS, Bench, Results
from rich.console import Console
from rich.table import Table

from cxr.core.intervals import Figure
from cxr.pipeline.pipeline_config import load

NONE = "none"


def _augmented(**changes: float) -> str:
    return "defaults.augmentation=" + json.dumps({"zoom": 0, "rotation": 0, "variants": 1, **changes})


CROP, SOURCES = "preprocessing.crop=thorax", "defaults.source_weights=true"
MOVED = {"zoom": 0.1, "rotation": 7}
CHANGED = {"exposure": 0.25, "gamma": 0.6, "blur": 2, "noise": 0.08, "border": 0.12, "marker": 0.5}
REMEDIES: dict[str, tuple[str, ...]] = {
    NONE: (),
    "border=0.08": ("preprocessing.border=0.08",),
    "crop=thorax": (CROP,),
    "percentiles": ("preprocessing.contrast=percentiles",),
    "equalize": ("preprocessing.contrast=equalize",),
    "clahe": ("preprocessing.contrast=clahe",),
    "per_image": ("preprocessing.normalization=per_image",),
    "zoom, rotation": (_augmented(**MOVED),),
    **{f"{name}={most}": (_augmented(**{name: most}),) for name, most in CHANGED.items()},
    "all augmentation": (_augmented(**MOVED, **CHANGED),),
    "source_weights": (SOURCES,),
    "thorax, percentiles": (CROP, "preprocessing.contrast=percentiles"),
    "thorax, all augmentation": (CROP, _augmented(**MOVED, **CHANGED)),
    "thorax, all augmentation, source_weights": (CROP, _augmented(**MOVED, **CHANGED), SOURCES),
}


def rows_of(model: str, remedy: str, results: Results, base: Results) -> list[dict[str, Any]]:
    """One row for JSON per learner and test."""
    class_names = load(CONFIG).class_names
    rows = []
    for learner, tests in results.items():
        for test, measured in tests.items():
            figures = {name: measured.figure(name) for name in ("balanced_accuracy", "accuracy")}
            figures["change"] = measured.above(base[learner][test], "balanced_accuracy")
            row: dict[str, Any] = {"model": model, "remedy": remedy, "settings": REMEDIES[remedy], "learner": learner, "test": test}
            row |= {"images": measured.images, "patients": measured.patients}
            row |= {name: figure.model_dump() for name, figure in figures.items()}
            recall = measured.of_classes("recall", class_names)
            rows.append(row | {"recall": {label: figure.model_dump() for label, figure in recall.items()}})
    return rows


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """One line per remedy, one column per test."""
    tests, remedies = (list(dict.fromkeys(row[key] for row in rows)) for key in ("test", "remedy"))
    shown = Table(title=f"{title}: balanced accuracy, change against {NONE!r}")
    for column in ("remedy", *tests):
        shown.add_column(column, overflow="fold")
    for remedy in remedies:
        own = {row["test"]: row for row in rows if row["remedy"] == remedy}
        cells = [f"{Figure(**own[test]['balanced_accuracy'])}\n{Figure(**own[test]['change'])}" for test in tests]
        shown.add_row(remedy, *cells)
    return shown


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records")
    parser.add_argument("--elsewhere")
    parser.add_argument("--models", default="mobilenet,densenet201")
    parser.add_argument("--only", help=f"names of remedies with semicolons, of: {'; '.join(REMEDIES)}")
    parser.add_argument("--cache", type=Path, default=Path("workspace/remedies"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chosen = [name.strip() for name in options.only.split(";")] if options.only else list(REMEDIES)
    if unknown := set(chosen) - set(REMEDIES):
        parser.error(f"--only {min(unknown)}: not one of {'; '.join(REMEDIES)}")
    console, rows = Console(), []
    for model in options.models.split(","):
        bench = Bench(model, options.records, options.elsewhere, options.cache)
        base = bench.measure(REMEDIES[NONE])
        for name in (NONE, *(name for name in chosen if name != NONE)):
            own = rows_of(model, name, base if name == NONE else bench.measure(REMEDIES[name]), base)
            rows += own
            for row in own:
                figures = f"{Figure(**row['balanced_accuracy'])}, change {Figure(**row['change'])}"
                console.print(f"{model}, {name}, {row['learner']}, {row['test']}: {figures}", highlight=False, soft_wrap=True)
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for model in options.models.split(","):
        for learner in LEARNERS:
            console.print(table([row for row in rows if (row["model"], row["learner"]) == (model, learner)], f"{model}, {learner}"))


if __name__ == "__main__":
    main()

"""Ingest from end to end: discover, split, read and write, add up, put in place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest import outcomes, output_folder, progress_bar, summary
from cxr.data.ingest.dataset import DATASET, RECORDS_VERSION, SYNTHETIC, Dataset, read_dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.pseudonyms import load_key, pseudonym
from cxr.data.ingest.rows import Row
from cxr.data.ingest.sources import discover
from cxr.data.ingest.splits import assign

VERSIONS_OF = ("apache-beam", "pillow", "pydicom", "tensorflow")


def ingest(
    source: str | Path,
    out: Path,
    config: Ingest,
    *,
    key_file: Path | None,
    console: Console,
    overwrite: bool = False,
    beam_options: Sequence[str] = (),
) -> Dataset:
    """Writes the records of a source, unless they are there already.

    Args:
      source: Folder tree, manifest CSV, or folder with a manifest.csv.
      out: Folder to write; appears only when everything went well.
      config: Classes, splits, limits.
      key_file: Key of the patients' pseudonyms; None: see pseudonyms.load_key.
      console: For progress and warnings.
      overwrite: Replace the records of another source or configuration.
      beam_options: Options of Beam, after (so: over) those for the local runner.

    Raises:
      CxrError: The source is unusable, too many files are, or `out` must not be replaced.
    """
    source, out = Path(source), Path(os.path.abspath(out))
    _check_apart(Path(source), out)
    rows, notes = discover(source, config)
    rows, more = assign(rows, config)
    notes += more
    key = load_key(key_file)
    fingerprint = _fingerprint(rows, config, key)
    output_folder.restore(out)
    if _is_complete(out, fingerprint):
        console.print(f"{out}: up to date", highlight=False, soft_wrap=True)
        return read_dataset(out)
    output_folder.check(out, overwrite)
    for note in notes:
        _warn(console, note)
    own = sum(not row.patient for row in rows)
    for row in rows:
        row.patient = pseudonym(key, row.unit)
    with output_folder.replaced(out) as partial:
        started = time.monotonic()
        _write(rows, partial, config, console, beam_options)
        dataset = _concluded(rows, notes, own, source, partial, config, fingerprint, console)
        seconds = time.monotonic() - started
    console.print(f"{len(rows)} images read in {seconds:.1f} s ({len(rows) / seconds:.0f} a second)", highlight=False)
    return dataset


def _write(rows: list[Row], partial: Path, config: Ingest, console: Console, beam_options: Sequence[str]) -> None:
    _load_tensorflow()
    from cxr.data.ingest import records  # Beam: not before there is something to do

    for folder in {row.split for row in rows} | {outcomes.RESULTS}:
        (partial / folder).mkdir()
    with progress_bar.shown(console, partial, len(rows)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's and pydicom's remarks on single files: what matters of them comes back as an error
        records.write_records(records.plan(rows, config), str(partial), config, beam_options)


def _load_tensorflow() -> None:
    """Imports it without the greeting that its libraries write to file descriptor 2: it would tear the progress bar."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow.io  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _concluded(
    rows: list[Row], notes: list[str], own: int, source: Path, partial: Path, config: Ingest, fingerprint: str, console: Console
) -> Dataset:
    result = summary.tally(outcomes.read_outcomes(str(partial)))
    if result.total != len(rows):
        raise CxrError(f"{len(rows)} images were planned and {result.total} came back; the workers do not see {partial}")
    if result.reject_share > config.max_reject_share:
        first = "".join(f"\n  {outcome.name}: {outcome.detail}" for outcome in result.rejects[:5])
        raise CxrError(
            f"{len(result.rejects)} of {result.total} files cannot be used ({result.reasons()}), more than max_reject_share = "
            f"{config.max_reject_share:.0%} allows; nothing was written. The first:{first}"
        )
    splits = [split for split in features.SPLITS if any(row.split == split for row in rows)]
    for split in splits:
        for name in config.class_names:
            if not result.counts[split, name]:
                raise CxrError(f"class {name!r} has no usable image in split {split!r}; all of them were rejected ({result.reasons()})")
    found = result.warnings()
    for note in found:
        _warn(console, note)
    summary.write_lists(result, partial)
    shutil.rmtree(partial / outcomes.RESULTS)
    dataset = Dataset(
        source=str(source),
        class_names=config.class_names,
        counts={split: {name: result.counts[split, name] for name in config.class_names} for split in splits},
        patients={split: len(result.patients[split]) for split in splits},
        own_patients=own,
        rejects=len(result.rejects),
        duplicates=len(result.duplicates),
        warnings=(*notes, *found),
        seed=config.seed,
        synthetic=any(row.source == SYNTHETIC for row in rows),
        config=config,
        fingerprint=fingerprint,
        files={str(path.relative_to(partial)): path.stat().st_size for path in sorted(partial.glob("*/*"))},
        versions={name: metadata.version(name) for name in VERSIONS_OF},
    )
    (partial / DATASET).write_text(dataset.model_dump_json(indent=2) + "\n")
    return dataset


def _fingerprint(rows: list[Row], config: Ingest, key: bytes) -> str:
    """Hashes everything that decides the records, with each file's size and time of change in place of its content."""
    digest = hashlib.sha256(hashlib.sha256(key).digest())
    digest.update(json.dumps([RECORDS_VERSION, config.model_dump(mode="json", exclude={"workers"})], sort_keys=True).encode())
    for row in sorted(rows, key=lambda row: row.name):
        try:
            state = os.stat(row.path)
        except OSError as error:
            raise CxrError(f"{row.path}: {error.strerror}") from None
        digest.update(
            repr(
                (
                    row.name,
                    row.path,
                    row.label,
                    row.patient,
                    row.split,
                    row.source,
                    row.view,
                    row.sex,
                    row.age,
                    state.st_size,
                    state.st_mtime_ns,
                )
            ).encode()
        )
    return digest.hexdigest()


def _is_complete(out: Path, fingerprint: str) -> bool:
    try:
        dataset = read_dataset(out)
    except CxrError:
        return False
    files = {name: out / name for name in dataset.files}
    return dataset.fingerprint == fingerprint and all(
        path.is_file() and path.stat().st_size == dataset.files[name] for name, path in files.items()
    )


def _check_apart(source: Path, out: Path) -> None:
    inner, outer = out.resolve(), (source if source.is_dir() else source.parent).resolve()
    if inner == outer or outer in inner.parents and source.is_dir() or inner in outer.parents:
        raise CxrError(f"{out}: OUT and SOURCE must not lie inside each other ({source})")


def _warn(console: Console, text: str) -> None:
    console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)

"""Ingest from end to end: discover, read, compare, split, add up, write, put in place."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from cxr.core import beam_options as beam_checks
from cxr.core import features, replaced_folder
from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.machine_faults import writing_to
from cxr.core.silence import silenced
from cxr.data.ingest import fingerprint, output_folder, private_lists, progress_bar, records, same_pictures, staged, summary
from cxr.data.ingest.dataset import DATASET, RECORDS_VERSION, Dataset, read_dataset
from cxr.data.ingest.ingest_config import Ingest, Spelling, dotted
from cxr.data.ingest.lesion_masks import read_masks
from cxr.data.ingest.outcomes import Outcomes
from cxr.data.ingest.private_lists import CONFLICTS, PROBLEMS, BadRows, shown
from cxr.data.ingest.pseudonyms import key_id, load_key, pseudonym
from cxr.data.ingest.rows import Row
from cxr.data.ingest.same_pictures import CONFLICT_COLUMNS, Settled, compare, settle
from cxr.data.ingest.sources import discover, is_uri
from cxr.data.ingest.splits import assign
from cxr.data.ingest.staged import Entry

VERSIONS_OF = ("apache-beam", "pillow", "pydicom", "tensorflow")


class _Request(NamedTuple):
    """What is ingested.

    Attributes:
      rows: All of the source, by number. Until they are dealt they hold raw patient ids, which stay on this machine; then pseudonyms.
      other_rows: That `config.where` left out.
    """

    source: Path
    rows: list[Row]
    other_rows: int
    config: Ingest
    key: bytes
    state: str

    def fingerprint(self, known: Callable[[Row], str] | None = None) -> str:
        """Fingerprints request and contents, before rows are dealt; where the hashes of the rows' files are known they are not read."""
        return fingerprint.content(self.rows, self.config, self.key, known)


def ingest(
    source: str | Path,
    out: str | Path,
    config: Ingest,
    *,
    key_file: Path,
    console: Console,
    overwrite: bool = False,
    beam_options: Sequence[str] = (),
    spelled: Spelling = dotted,
) -> Dataset:
    """Writes the records of a source, unless they are there already.

    Args:
      source: Folder tree, manifest CSV, or folder with a manifest.csv.
      out: Folder to write; appears only when everything went well.
      config: Classes, splits, limits.
      key_file: Key of the patients' pseudonyms (see pseudonyms.key_path); made where there is none.
      console: For progress and warnings.
      overwrite: Replace the records of another source or configuration.
      beam_options: Options of Beam, after (so: over) those for the local runner.
      spelled: Names settings in messages, in the words of the command that was called.

    Raises:
      UsageError: The Beam options name what is not there.
      CxrError: The source is unusable, too many files are, or `out` must not be replaced. No text names a patient or an image; lists with
        paths are written beside `out` (private_lists.py).
    """
    beam_checks.check(beam_options)
    for place in (source, out):
        if is_uri(str(place)):
            raise CxrError(f"{place}: is no path of this machine; copy or mount the data here, and name the folder")
    source, out = Path(source), Path(os.path.abspath(out))
    if out.is_symlink():
        out = Path(os.path.realpath(out))  # records take the place of what it leads to, on the disk that was meant
    _check_apart(source, out)
    private_lists.forget(out, PROBLEMS)  # an earlier call's: this one may end well, or with an error that is about no rows
    with _listed(out):
        with console.status("listing images"):
            rows, notes, other_rows = discover(source, config, spelled)
            key_is_new = not key_file.exists()
            key = load_key(key_file)
            if key_is_new:
                text = "is new: the key of the patients' pseudonyms; keep it, with another one nobody can tell that a patient is the same"
                console.print(f"{key_file} {text}", highlight=False, markup=False, soft_wrap=True)
            request = _Request(source, rows, other_rows, config, key, fingerprint.state(rows, config, key))
        with replaced_folder.left_alone(out) as alone:
            if found := _up_to_date(out, request, console):
                _check_kept(found, out, config, spelled)
                console.print(f"{out}: up to date", highlight=False, soft_wrap=True)
                _warn(console, (*notes, *same_pictures.notes(found.label_conflicts, found.left_out, found.joined_patients)))
                if alone:
                    staged.remove(out)  # else it is what another process has read
                return found
        output_folder.check(out, overwrite, key_id(key), key_file)
    _warn(console, notes)  # before the files are read: that may take long, and these may say why what follows fails
    return _write(out, request, notes, console, beam_options, spelled)


@contextlib.contextmanager
def _listed(out: Path) -> Iterator[None]:
    """Lists the rows beside `out` that end the block.

    Raises:
      CxrError: In place of BadRows.
    """
    try:
        yield
    except BadRows as error:
        raise CxrError(f"{error}{private_lists.write_problems(out, error)}") from None


def _write(out: Path, request: _Request, notes: Sequence[str], console: Console, beam_options: Sequence[str], spelled: Spelling) -> Dataset:
    """Reads, compares, deals and writes; the arguments are those of `ingest`, `notes` what is known before."""
    config = request.config
    with writing_to(out.parent), replaced_folder.replaced(out) as partial:
        clock = _Clock()
        with clock:
            pictures = _read(out, request, console, beam_options)
            masks = read_masks(request.rows, pictures.entry, config.workers)

        def usable(row: Row) -> bool:
            return not pictures.entry(row).reason and row.number not in masks.refused

        content = request.fingerprint(lambda row: pictures.entry(row).file_hash)
        patients = [row.patient for row in request.rows]
        with _listed(out):
            pairs = compare(request.rows, pictures.keys, pictures.thumbnail, config, console)
            settled = settle(request.rows, pairs, config, out, spelled)
            rows, more = assign(settled.rows, config, spelled, usable)
        later = [*settled.notes(), *more]
        _warn(console, later)
        own = sum(not row.patient and not row.person and usable(row) for row in rows)
        for row in rows:
            row.patient, row.person = pseudonym(request.key, row.unit), ""
        groups = [[row.number for row in group] for group in settled.groups]
        result = summary.tally(Outcomes(rows, pictures.entry, masks.refused), groups)
        _check(result, rows, out, request, spelled)
        for split in _splits(rows):
            (partial / split).mkdir()
        with clock, console.status("writing records"):
            records.write_records(records.plan(rows, config), partial, pictures.read, pictures.keys, masks, config.workers)
        found_warnings = result.warnings()
        _warn(console, found_warnings)
        dataset = _described(result, rows, (*notes, *later, *found_warnings), own, partial, request, settled, content)
    staged.remove(out)
    private_lists.write(out, CONFLICTS, CONFLICT_COLUMNS, settled.listed)
    summary.write_rejects(result, request.rows, out)
    summary.write_not_frontal(result, request.rows, out)
    summary.write_duplicates(result, request.rows, patients, out)
    count = len(request.rows)
    console.print(f"{how_many(count, 'image')} read in {clock.seconds:.1f} s ({count / clock.seconds:.0f} a second)", highlight=False)
    return dataset


class _Pictures(NamedTuple):
    """What the files of all rows hold.

    Attributes:
      keys: By number of a row.
      read: By key.
    """

    keys: staged.Keys
    read: staged.Staged

    def entry(self, row: Row) -> Entry:
        """Returns what is known of a row's file."""
        return self.read[self.keys[row.number]]

    def thumbnail(self, row: Row) -> np.ndarray:
        """Returns a row's picture, small."""
        return self.read.thumbnail(self.keys[row.number])


def _read(out: Path, request: _Request, console: Console, beam_options: Sequence[str]) -> _Pictures:
    """Has all files read that no earlier, failed call has read."""
    config, folder = request.config, staged.folder_for(out)
    keys = staged.keys_of(request.rows, config, request.key)
    files = np.unique(keys, return_index=True)[1]  # a row of each; no dictionary of them, which would take more than their rows
    known = staged.Staged(folder)
    missing = [row for row in files.tolist() if known.unread(keys[row])]
    if len(missing) < len(files):
        before = how_many(len(files) - len(missing), "image was", "images were")
        console.print(f"{before} read by an earlier call that did not end well", highlight=False)
    with silenced():
        import tensorflow.io  # noqa: F401
    if missing:
        from cxr.data.ingest.reading import read_files  # Beam: not before there is something to do

        with progress_bar.shown(console, folder, len(missing)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's and pydicom's remarks on single files: what matters of them comes back as an error
            read_files(((keys[row].decode(), request.rows[row].path) for row in missing), folder, config, beam_options)
    pictures = staged.Staged(folder)
    if lost := sum(keys[row] not in pictures for row in files):
        asked = how_many(len(files), "file was", "files were")
        raise CxrError(f"{asked} to be read and {len(files) - lost} came back; the workers do not see {folder}")
    return _Pictures(keys, pictures)


class _Clock:
    """Adds up what its blocks take, seconds."""

    seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._began


def _check(result: summary.Tally, rows: list[Row], out: Path, request: _Request, spelled: Spelling) -> None:
    """Refuses records of too few of the images."""
    config, by_number = request.config, request.rows
    if result.reject_share > config.max_reject_share:
        places = [f"{by_number[o.number].where}: {o.reason}" for o in result.rejects]
        raise CxrError(
            f"{len(result.rejects)} of {how_many(result.total, 'file')} cannot be used ({result.reasons()}), more than "
            f"{spelled('max_reject_share', config.max_reject_share)} allows; no records were written:"
            + shown(places, summary.write_rejects(result, by_number, out, PROBLEMS))
        )
    if config.only_split and len(result.rejects) == result.total:
        raise CxrError(f"no image can be used; all of them were rejected ({result.reasons()})")
    for split in () if config.only_split else _splits(rows):
        for name in config.class_names:
            if not result.counts[split, name]:
                places = [f"{by_number[o.number].where}: {o.reason}" for o in result.rejects]
                raise CxrError(
                    f"class {name!r} has no usable image in split {split!r}: what was dealt there cannot be used; mend or remove it, add "
                    "images, or state the splits yourself:" + shown(places, summary.write_rejects(result, by_number, out, PROBLEMS))
                )


def _splits(rows: list[Row]) -> list[str]:
    return [split for split in features.SPLITS if any(row.split == split for row in rows)]


def _described(
    result: summary.Tally, rows: list[Row], notes: Sequence[str], own: int, partial: Path, request: _Request, settled: Settled, content: str
) -> Dataset:
    """Writes dataset.json."""
    config, splits = request.config, _splits(rows)
    dataset = Dataset(
        source=str(request.source),
        class_names=config.class_names,
        counts={split: {name: result.counts[split, name] for name in config.class_names} for split in splits},
        patients={split: len(set().union(*(result.patients[split, name] for name in config.class_names))) for split in splits},
        all_patients=len(set().union(*result.patients.values())),
        class_patients={split: {name: len(result.patients[split, name]) for name in config.class_names} for split in splits},
        own_patients=own,
        key_id=key_id(request.key),
        rejects=len(result.rejects),
        reject_reasons=result.reject_reasons,
        doubts=result.doubts,
        duplicates=result.exact_duplicates,
        near_duplicates=result.near_duplicates,
        joined_patients=settled.joined,
        label_conflicts=settled.conflicts,
        left_out=settled.left_out,
        other_rows=request.other_rows,
        warnings=tuple(notes),
        seed=config.seed,
        synthetic=any(row.source == features.SYNTHETIC for row in rows),
        config=config,
        fingerprint=content,
        state=request.state,
        files={str(path.relative_to(partial)): path.stat().st_size for path in sorted(partial.glob("*/*"))},
        versions={name: metadata.version(name) for name in VERSIONS_OF},
    )
    dataset.write(partial / DATASET)
    return dataset


def _up_to_date(out: Path, request: _Request, console: Console) -> Dataset | None:
    """Returns what `out` holds if it is what the request asks for; files are read only where their size or time has changed."""
    try:
        dataset = read_dataset(out)
    except CxrError:
        return None
    if any(not (out / name).is_file() or (out / name).stat().st_size != size for name, size in dataset.files.items()):
        return None
    if (dataset.state, dataset.other_rows) == (request.state, request.other_rows):
        return dataset
    if dataset.state != request.state:
        if dataset.records_version != RECORDS_VERSION or _effective(dataset.config) != _effective(request.config):
            return None
        with console.status("files were touched: comparing what they hold"):
            if dataset.fingerprint != request.fingerprint():
                return None
    dataset = dataset.model_copy(update={"state": request.state, "other_rows": request.other_rows})
    with contextlib.suppress(OSError):  # not ours to write: the next call compares again
        dataset.write(out / DATASET)
    return dataset


def _check_kept(dataset: Dataset, out: Path, config: Ingest, spelled: Spelling) -> None:
    """Refuses records that are there where a stricter share of rejects is asked for than they were made with."""
    total, allowed = dataset.images + dataset.rejects, spelled("max_reject_share", config.max_reject_share)
    if dataset.rejects > config.max_reject_share * total:
        raise CxrError(
            f"{out}: {dataset.rejects} of {how_many(total, 'file')} could not be used, more than {allowed} allows; mend or remove them "
            f"({private_lists.folder_of(out) / private_lists.REJECTS} lists them), or allow more"
        )


def _effective(config: Ingest) -> dict[str, object]:
    return config.model_dump(mode="json", exclude=fingerprint.WITHOUT_EFFECT)


def _check_apart(source: Path, out: Path) -> None:
    inner, outer = out.resolve(), (source if source.is_dir() else source.parent).resolve()
    if inner == outer or outer in inner.parents and source.is_dir() or inner in outer.parents:
        raise CxrError(f"{out}: OUT and SOURCE must not lie inside each other ({source})")


def _warn(console: Console, texts: Iterable[str]) -> None:
    for text in texts:
        console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)

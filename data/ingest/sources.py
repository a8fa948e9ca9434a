"""From a folder tree or a manifest CSV to rows, checked before any image is read."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import NamedTuple

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError, UsageError
from cxr.core.file_names import is_clutter
from cxr.data.images import dicom
from cxr.data.images.errors import ImageError
from cxr.data.images.frontal import view_in_header
from cxr.data.images.reader import HEAD_BYTES, is_dicom
from cxr.data.ingest import patient_ids
from cxr.data.ingest.fetched import unfinished
from cxr.data.ingest.ingest_config import Ingest, Spelling, dotted
from cxr.data.ingest.manifest import REQUIRED, UNLABELLED, read_manifest
from cxr.data.ingest.private_lists import BadRows
from cxr.data.ingest.rows import Row, hint_at, parse_age, parse_sex, parse_view
from cxr.data.ingest.tree import astray, from_images, from_tree, names_classes
from cxr.data.ingest.where import Where, condition

MANIFEST = "manifest.csv"  # a folder that holds it is read by it
# What rows of one image may state each: an attribute of Row, and its value where nothing is stated.
_FACTS = {"source": features.UNKNOWN, "view": features.UNKNOWN, "sex": features.UNKNOWN, "age": None, "license": "", "mask": ""}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_uri(text: str) -> bool:
    """Tells whether a text names an object store or web address in place of a path of this machine."""
    return bool(_URI.match(text))


def states_labels(source: Path, class_names: Sequence[str]) -> bool:
    """Tells whether a source says what its images show: a manifest by its column `label`, a folder by one that is called like a class.

    Args:
      source: As `discover` takes it.
      class_names: Of the classes.

    Raises:
      CxrError: It cannot be read.
    """
    if source.is_dir() and not (source / MANIFEST).is_file():
        return names_classes(source, class_names)
    return features.LABEL in read_manifest(source / MANIFEST if source.is_dir() else source, UNLABELLED)[0]


class Discovered(NamedTuple):
    """What a source lists.

    Attributes:
      rows: The images.
      notes: Warnings.
      other_rows: Rows of a manifest that `where` left out.
    """

    rows: list[Row]
    notes: list[str]
    other_rows: int = 0


def discover(source: Path, config: Ingest, spelled: Spelling = dotted, *, labels: bool = True) -> Discovered:
    """Lists the images of a source, and warnings.

    Args:
      source: A folder with one folder per class (train, val, test may stand above them); a manifest CSV; a folder with a `manifest.csv`.
      config: Class names, `where`, `listed_twice`, `paths_outside`.
      spelled: Names settings in messages.
      labels: False: the source states none (`states_labels`), and the rows have none; a folder may then be arranged in any way.

    Raises:
      UsageError: There is no such source, or `where` names a column that it has not.
      CxrError: Names the file, the line and the remedy, never a patient, an image or a folder of the source: nothing there, an unknown
        label or split, a class without images (unless `only_split` allows it), a path listed twice
        or outside the source, a missing file, a wrong age or sex.
    """
    if source.is_dir() and (source / MANIFEST).is_file():
        source = source / MANIFEST
    notes: list[str] = []
    where = Where({}, source, [])
    fetching = unfinished(source.parent if source.is_file() else source)
    if source.is_file():
        folder = source.parent
        rows, notes, where = _from_manifest(source, config, spelled, labels)
        if source.name == MANIFEST and fetching:
            notes = [
                *notes,
                f"`cxr fetch {' and '.join(fetching)}` into this folder has not ended: images of it are missing; call it again",
            ]
    elif source.is_dir():
        folder = source
        if fetching:
            raise CxrError(f"{source}: `cxr fetch {fetching[0]}` into it has not ended, and wrote no {MANIFEST} yet; call it again")
        if config.where:
            raise CxrError(f"{source}: `where` filters the rows of a manifest, and this folder has no {MANIFEST}")
        rows = list(from_tree(source, config, spelled, MANIFEST) if labels else from_images(source))
        notes = astray(source, config.class_names) if labels else []
    else:
        raise UsageError(f"{source}: no such file or folder; name a folder with one folder per class, or a manifest CSV")
    _check_names(rows)
    _check_inside(rows, folder, config, spelled)
    _check_files(rows)
    # before the headers: they fill what is still open
    contradicted = _completed(rows) if config.listed_twice == "merge" else Counter[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks quote the header
        for row in rows:
            _add_dicom_facts(row)
    rows, more = _without_repeats(rows, contradicted, config, spelled)
    if labels:
        _check_classes(rows, source, config, spelled, where)
    for number, row in enumerate(rows):
        row.number = number
    return Discovered(rows, [*notes, *where.notes(), *more, *patient_ids.notes(rows)], where.left_out)


def _from_manifest(manifest: Path, config: Ingest, spelled: Spelling, labels: bool) -> tuple[list[Row], list[str], Where]:
    folder, place = os.path.abspath(manifest.parent), f"{manifest} line"
    rows: list[Row] = []
    bad: list[Row] = []
    reasons: list[str] = []

    def fault(line: int, values: dict[str, str], reason: str) -> None:
        bad.append(Row(folder, values["image"], place, line, label=""))
        reasons.append(reason)

    columns, records, notes = read_manifest(manifest, REQUIRED if labels else UNLABELLED, fault=fault)
    where = Where(config.where, manifest, columns)
    for line, values in records:
        if not is_clutter(os.path.basename(values["image"])) and where.takes(values):
            try:
                rows.append(_row(values, folder, place, line, config, spelled, labels))
            except CxrError as error:
                fault(line, values, str(error).removeprefix(f"{place} {line}: "))
    texts = [f"{row.where}: {reason}" for row, reason in zip(bad, reasons, strict=True)]
    if len(bad) == 1:
        raise BadRows(texts[0], bad, [], reasons)
    if bad:
        raise BadRows(f"{len(bad)} rows of {manifest} cannot be used:", bad, texts, reasons)
    if config.where and not rows:
        raise CxrError(f"{manifest}: no row matches {condition(config.where)}{where.hint()}")
    return rows, notes, where


def _row(values: dict[str, str], folder: str, place: str, line: int, config: Ingest, spelled: Spelling, labels: bool) -> Row:
    where = f"{place} {line}"
    if not values["image"]:
        raise CxrError(f"{where}: column 'image' is empty")
    if labels and not values["label"]:
        raise CxrError(f"{where}: column 'label' is empty; it must be one of the classes {', '.join(config.class_names)}")
    if labels and values["label"] not in config.class_names:
        raise CxrError(
            f"{where}: the label is none of the classes {', '.join(config.class_names)}{hint_at(values['label'], config.class_names)}; "
            f"correct it, or set {spelled('class_names', '[…]')}"
        )
    split = values.get("split", "")
    if split and split not in features.SPLITS:
        raise CxrError(f"{where}: the split must be {', '.join(features.SPLITS)} or empty{hint_at(split, features.SPLITS)}")
    try:
        sex, age = parse_sex(values.get("sex", "")), parse_age(values.get("age", ""))
    except CxrError as error:
        raise CxrError(f"{where}: {error}") from None
    mask = values.get("mask", "")
    return Row(
        folder=folder,
        name=values["image"],
        place=place,
        position=line,
        label=values["label"] if labels else "",
        patient=values.get("patient_id", ""),
        split=split,
        source=values.get("source") or features.UNKNOWN,
        view=parse_view(values.get("view", "")),
        sex=sex,
        age=age,
        license=values.get("license", ""),
        mask=os.path.join(folder, mask) if mask else "",
    )


def _check_names(rows: list[Row]) -> None:
    """Neither a record nor a pseudonym can be made of other names, and a list could not show them."""
    if other := [row for row in rows if _has_lone_bytes(row.path + row.mask)]:
        raise BadRows(
            f"the names of {how_many(len(other), 'image')}, or of folders above them, are no UTF-8; rename them (convmv does whole trees):",
            other,
        )


def _has_lone_bytes(path: str) -> bool:
    """Tells whether a path holds bytes that are no UTF-8, which Python reads as halves of surrogate pairs."""
    return any("\ud800" <= letter <= "\udfff" for letter in path)


def _check_inside(rows: list[Row], folder: Path, config: Ingest, spelled: Spelling) -> None:
    if config.paths_outside == "allow":
        return
    root = os.path.join(os.path.realpath(folder), "")
    for what, named in (("image", [(row, row.path) for row in rows]), ("mask", [(row, row.mask) for row in rows if row.mask])):
        outside = [row for row, path in named if not os.path.realpath(path).startswith(root)]
        if outside:
            lying = how_many(len(outside), f"{what} lies", f"{what}s lie")
            raise BadRows(
                f"{lying} outside {folder} (absolute paths, ../ or links that lead out); move them, or set "
                f"{spelled('paths_outside', 'allow')}:",
                outside,
            )


def _may_be_looked_at(path: str) -> bool:
    try:
        os.stat(path)
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def _images(found: Sized, one: str = "is", many: str = "are") -> str:
    """How many they are, with a verb."""
    return how_many(len(found), f"image {one}", f"images {many}")


def _check_files(rows: list[Row]) -> None:
    missing = [row for row in rows if not os.path.isfile(row.path)]
    if closed := [row for row in missing if not _may_be_looked_at(row.path)]:
        raise BadRows(f"{_images(closed, 'lies', 'lie')} in folders that may not be entered; have the permission given:", closed)
    if broken := [row for row in missing if os.path.islink(row.path)]:
        raise BadRows(f"{_images(broken)} linked to what is not there; mend the links or remove them:", broken)
    if odd := [row for row in missing if os.path.exists(row.path)]:
        raise BadRows(f"{_images(odd)} no regular file, but a folder, a pipe or the like; take out what is none:", odd)
    if missing:
        raise BadRows(f"{_images(missing)} not there (paths count from the manifest's folder and are written with /):", missing)
    missing = [row for row in rows if row.mask and not os.path.isfile(row.mask)]
    if missing:
        raise BadRows(
            f"the masks of {how_many(len(missing), 'image')} are not there (empty the column 'mask' where there is none):", missing
        )


def _without_repeats(rows: list[Row], contradicted: Counter[str], config: Ingest, spelled: Spelling) -> tuple[list[Row], list[str]]:
    """Leaves each file once per label. Who stands under one picture is one person: with `merge`, all their images get one patient id."""
    kept: dict[tuple[str, str], Row] = {}
    same: dict[str, str] = {}  # patient: another id of the same person; a forest
    refused: list[tuple[Row, Row]] = []
    contradictory: list[tuple[Row, Row]] = []

    def root(patient: str) -> str:
        while patient in same:
            patient = same[patient]
        return patient

    for row in rows:
        # A file under two labels stays twice: settled where the label conflicts of all pictures are (same_pictures.py).
        label = "" if config.near_duplicates == "ignore" else row.label
        first = kept.setdefault((os.path.realpath(row.path), label), row)
        if first is row:
            continue
        if row.label != first.label or (row.split and first.split and row.split != first.split):
            contradictory.append((first, row))
        elif config.listed_twice == "refuse":
            refused.append((first, row))
        first.split = first.split or row.split
        one, other = sorted((root(first.patient), root(row.patient)))
        if one and one != other:
            same[other] = one
        first.patient = first.patient or row.patient
    if contradictory:
        raise _twice(contradictory, "with another label or split; remove one of each")
    if refused:
        merge = spelled("listed_twice", "merge")
        raise _twice(refused, f"remove one of each, or set {merge} (each is read once, and its patients count as one)")
    for row in kept.values():
        row.patient = root(row.patient)
    repeats = len(rows) - len(kept)
    if not repeats:
        return rows, []
    merged = f"; {how_many(len(same), 'patient id was another id', 'patient ids were other ids')} of the same person" if same else ""
    words = ", ".join(f"{name} {count}" for name, count in contradicted.items())
    told = f"; where they contradict each other the first counts ({words})" if words else ""
    return list(kept.values()), [
        f"{how_many(repeats, 'path was listed twice and is', 'paths were listed twice and are')} read once{merged}{told}"
    ]


def _completed(rows: list[Row]) -> Counter[str]:
    """Gives the first row of each file and label what only later ones state; returns fact: images of which two state it differently."""
    firsts: dict[tuple[str, str], Row] = {}
    differing: set[tuple[str, int]] = set()
    for row in rows:
        first = firsts.setdefault((os.path.realpath(row.path), row.label), row)
        for name, nothing in _FACTS.items():
            one, other = getattr(first, name), getattr(row, name)
            if one == nothing:
                setattr(first, name, other)
            elif other not in (nothing, one) and not (name == "mask" and os.path.realpath(one) == os.path.realpath(other)):
                differing.add((name, id(first)))
    return Counter(name for name, _ in sorted(differing))


def _twice(pairs: list[tuple[Row, Row]], remedy: str) -> BadRows:
    places = [f"{row.where} (first: {first.where})" for first, row in pairs]
    return BadRows(f"{_images(pairs)} listed twice, {remedy}:", [row for pair in pairs for row in pair], places)


def _check_classes(rows: list[Row], source: Path, config: Ingest, spelled: Spelling, where: Where) -> None:
    if not rows:
        raise CxrError(f"{source}: holds no images")
    present = {row.label for row in rows}
    if config.only_split and present:
        return
    missing = [name for name in config.class_names if name not in present]
    if not missing:
        return
    asked = f", where {condition(config.where)}" if config.where else ""
    names = ", ".join(map(repr, missing))
    what = f"class {names} has" if len(missing) == 1 else f"the classes {names} have"
    if len(present) > 1:
        others = ",".join(name for name in config.class_names if name in present)
        remedy = f"add some or leave {'it' if len(missing) == 1 else 'them'} out of the classes, {spelled('class_names', f'[{others}]')}"
    else:
        remedy = "add some, since nothing can be learnt from one class alone; `cxr evaluate` measures a model on such images as they are"
    raise CxrError(f"{source}: {what} no images{asked}; {remedy}{where.hint()}")


def _add_dicom_facts(row: Row) -> None:
    """Fills what the source does not state from the header of a DICOM file, whatever its name; a damaged one is the reader's business."""
    try:
        with open(row.path, "rb") as stream:
            if not is_dicom(stream.read(HEAD_BYTES)):
                return
            stream.seek(0)
            facts = dicom.read_facts(stream)
    except (ImageError, OSError):
        return
    row.patient = row.patient or facts.patient_id
    if row.view == features.UNKNOWN:
        row.view = view_in_header(facts.view) or row.view
    # A header that holds nonsense says nothing; what it says beside that counts.
    if row.sex == features.UNKNOWN:
        with contextlib.suppress(CxrError):
            row.sex = parse_sex(facts.sex)
    if row.age is None:
        with contextlib.suppress(CxrError):
            row.age = parse_age(facts.age)

"""From a folder tree or a manifest CSV to rows, checked before any image is read."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.images import dicom
from cxr.data.images.errors import ImageError
from cxr.data.images.reader import HEAD_BYTES, is_dicom
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.rows import Row, parse_age, parse_sex

MANIFEST = "manifest.csv"  # a folder that holds it is read by it
REQUIRED = ("image", "label")
OPTIONAL = ("patient_id", "split", "source", "view", "sex", "age")
SHOWN = 5  # how many names an error lists


def discover(source: Path, config: Ingest) -> tuple[list[Row], list[str]]:
    """Lists the images of a source, and warnings.

    Args:
      source: A folder with one folder per class (train, val, test may stand above them); a manifest CSV; a folder with a `manifest.csv`.
      config: Class names, `where`, `listed_twice`.

    Raises:
      CxrError: Names the file, the line and the remedy: nothing there, an unknown label or split, a class without images, a path listed
        twice, a missing file, a wrong age or sex.
    """
    if source.is_dir() and (source / MANIFEST).is_file():
        source = source / MANIFEST
    if source.is_file():
        rows = list(_from_manifest(source, config))
    elif source.is_dir():
        if config.where:
            raise CxrError(f"{source}: `where` filters the rows of a manifest, and this folder has no {MANIFEST}")
        rows = list(_from_tree(source, config))
    else:
        raise CxrError(f"{source}: no such file or folder; name a folder with one folder per class, or a manifest CSV")
    _check_files(rows)
    for row in rows:
        _add_dicom_facts(row)
    rows, warnings = _without_repeats(rows, config)
    _check_classes(rows, source, config)
    return rows, warnings


def _from_manifest(manifest: Path, config: Ingest) -> Iterator[Row]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            _check_columns(manifest, columns, config)
            reader.fieldnames = columns
            for record in reader:
                where = f"{manifest} line {reader.line_num}"
                if None in record or None in record.values():
                    raise CxrError(f"{where}: has not {len(columns)} fields as the header does; quote values that hold commas")
                values = {name: value.strip() for name, value in record.items()}
                if all(values[name] == value for name, value in config.where.items()):
                    yield _row(values, manifest.parent, where, config)
    except (csv.Error, UnicodeDecodeError) as error:
        raise CxrError(f"{manifest}: not a CSV file in UTF-8 ({error})") from None
    except OSError as error:
        raise CxrError(f"{manifest}: cannot be read ({error.strerror})") from None


def _check_columns(manifest: Path, columns: list[str], config: Ingest) -> None:
    for name in REQUIRED:
        if name not in columns:
            raise CxrError(
                f"{manifest} line 1: no column {name!r}; the header needs {' and '.join(REQUIRED)}, and may have {', '.join(OPTIONAL)}"
            )
    for name in columns:
        if columns.count(name) > 1:
            raise CxrError(f"{manifest} line 1: column {name!r} stands there twice")
    for name in config.where:
        if name not in columns:
            raise CxrError(f"where {name}={config.where[name]}: {manifest} has no such column; it has {', '.join(columns)}")


def _row(values: dict[str, str], folder: Path, where: str, config: Ingest) -> Row:
    if not values["image"]:
        raise CxrError(f"{where}: column 'image' is empty")
    _check_label(values["label"], where, config)
    split = values.get("split", "")
    if split and split not in features.SPLITS:
        raise CxrError(f"{where}: split {split!r} must be {', '.join(features.SPLITS)} or empty")
    try:
        sex, age = parse_sex(values.get("sex", "")), parse_age(values.get("age", ""))
    except CxrError as error:
        raise CxrError(f"{where}: {error}") from None
    return Row(
        path=os.path.join(os.path.abspath(folder), values["image"]),
        name=values["image"],
        where=where,
        label=values["label"],
        patient=values.get("patient_id", ""),
        split=split,
        source=values.get("source") or features.UNKNOWN,
        view=values.get("view", "").upper() or features.UNKNOWN,
        sex=sex,
        age=age,
    )


def _from_tree(root: Path, config: Ingest) -> Iterator[Row]:
    folders = _folders(root)
    if not folders:
        raise CxrError(f"{root}: neither {MANIFEST} nor folders in it; it needs one folder per class ({', '.join(config.class_names)})")
    given = [folder.name for folder in folders if folder.name in features.SPLITS and folder.name not in config.class_names]
    if given and len(given) < len(folders):
        other = next(folder for folder in folders if folder.name not in given)
        raise CxrError(f"{other}: stands beside {given[0]}; folders are either all splits ({', '.join(features.SPLITS)}) or all classes")
    for split in given or [""]:
        for folder in _folders(root / split):
            _check_label(folder.name, str(folder), config)
            for path in _files(folder):
                name = str(path.relative_to(root))
                yield Row(path=os.path.abspath(path), name=name, where=str(path), label=folder.name, split=split)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _check_label(label: str, where: str, config: Ingest) -> None:
    if label not in config.class_names:
        raise CxrError(f"{where}: label {label!r} is none of the classes {', '.join(config.class_names)}; correct it or set class_names")


def _check_files(rows: list[Row]) -> None:
    missing = [row for row in rows if not os.path.isfile(row.path)]
    if missing:
        listed = "".join(f"\n  {row.where}: {row.name}" for row in missing[:SHOWN])
        more = f"\n  and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise CxrError(f"{len(missing)} images are not there (paths count from the manifest's folder):{listed}{more}")


def _without_repeats(rows: list[Row], config: Ingest) -> tuple[list[Row], list[str]]:
    """Leaves each file once. Who stands under one picture is one person: with `merge`, all their images get one patient id."""
    kept: dict[str, Row] = {}
    same: dict[str, str] = {}  # patient: another id of the same person; a forest

    def root(patient: str) -> str:
        while patient in same:
            patient = same[patient]
        return patient

    for row in rows:
        first = kept.setdefault(os.path.realpath(row.path), row)
        if first is row:
            continue
        twice = f"{row.where}: {row.name} is listed twice (first: {first.where}: {first.name})"
        if config.listed_twice == "refuse":
            raise CxrError(f"{twice}; remove one of them, or set --listed-twice merge (read once, its patients count as one)")
        if row.label != first.label or (row.split and first.split and row.split != first.split):
            raise CxrError(f"{twice}, with another label or split; remove one of them")
        first.split = first.split or row.split
        one, other = sorted((root(first.patient), root(row.patient)))
        if one and one != other:
            same[other] = one
        first.patient = first.patient or row.patient
    for row in kept.values():
        row.patient = root(row.patient)
    repeats = len(rows) - len(kept)
    if not repeats:
        return rows, []
    merged = f"; {len(same)} patient ids were other ids of the same person" if same else ""
    return list(kept.values()), [f"{repeats} paths were listed twice and are read once{merged}"]


def _check_classes(rows: list[Row], source: Path, config: Ingest) -> None:
    present = {row.label for row in rows}
    for name in config.class_names:
        if name not in present:
            condition = "".join(f", where {key}={value}" for key, value in config.where.items())
            raise CxrError(f"{source}: class {name!r} has no images{condition}; add some or leave it out of class_names")


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
    row.view = facts.view.upper() if row.view == features.UNKNOWN and facts.view else row.view
    try:
        row.sex = parse_sex(facts.sex) if row.sex == features.UNKNOWN else row.sex
        row.age = parse_age(facts.age) if row.age is None else row.age
    except CxrError:  # a header that holds nonsense says nothing
        pass

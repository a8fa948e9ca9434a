"""From a folder tree to rows: one folder per class, if you like below train, val and test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cxr.core import features
from cxr.core.counts import agreeing, how_many
from cxr.core.errors import CxrError
from cxr.core.folder_walk import data_files, may_be_data
from cxr.data.images.reader import is_image_file
from cxr.data.ingest.ingest_config import Ingest, Spelling
from cxr.data.ingest.rows import Row, hint_at

_TABLES = {".csv", ".tsv"}
_SPREADSHEETS = {".numbers", ".ods", ".xls", ".xlsx"}


def from_tree(root: Path, config: Ingest, spelled: Spelling, manifest: str) -> Iterator[Row]:
    """Lists the images below a folder with one folder per class, which may stand below train, val and test.

    Args:
      root: The folder.
      config: Class names.
      spelled: Names settings in messages.
      manifest: Name of the file that would have been read in place of the tree, for messages.

    Raises:
      CxrError: A folder that is no class and no split, or cannot be listed. The text does not name it: it may be named after a patient.
    """
    folder, folders = os.path.abspath(root), _folders(root)
    needs = f"it needs one folder per class ({', '.join(config.class_names)}), if you like below train, val and test"
    if not folders:
        raise CxrError(f"{root}: neither {manifest} nor folders in it; {needs}{_table(root, manifest)}")
    given = _splits(folders, config.class_names)
    if given and len(given) < len(folders):
        others = how_many(len(folders) - len(given), "other folder stands", "other folders stand")
        raise CxrError(f"{root}: {others} beside {given[0]!r}; folders are either all splits or all classes; {needs}")
    for split in given or [""]:
        folders = _folders(root / split)
        unknown = [name for name in folders if name not in config.class_names]
        if unknown:
            hint = next(filter(None, (hint_at(name, config.class_names) for name in unknown)), "")
            which = f"{len(unknown)} of {how_many(len(folders), 'folder')} {agreeing(len(unknown), 'is', 'are')}"
            what, them = spelled("class_names", "[…]"), agreeing(len(unknown), "it", "them")
            raise CxrError(
                f"{root / split}: {which} named after no class{hint}; {needs}; rename {them}, or set {what}{_table(root, manifest)}"
            )
        for label in folders:
            place = f"{split}/{label} file" if split else f"{label} file"
            for number, path in enumerate(_files(root / split / label), 1):
                yield Row(folder, str(path.relative_to(root)), place, number, label, split=split)


def astray(root: Path, class_names: Sequence[str]) -> list[str]:
    """Returns warnings: of images of such a tree that stand in no folder of a class, so that nobody reads them.

    Args:
      root: As `from_tree` takes it.
      class_names: Of the classes.

    Raises:
      CxrError: A folder cannot be listed.
    """
    found = []
    for folder in (root, *(root / split for split in _splits(_folders(root), class_names))):
        if count := sum(may_be_data(path.name) and path.is_file() and is_image_file(path) for path in _listed(folder)):
            images = how_many(count, "image stands", "images stand")
            found.append(
                f"{folder}: {images} beside the folders in it, without a class, and not read; move each into the folder of its class"
            )
    return found


def from_images(root: Path) -> Iterator[Row]:
    """Lists all images below a folder, whatever its folders are called; the rows have no label.

    Args:
      root: The folder.

    Raises:
      CxrError: A folder cannot be listed.
    """
    folder = os.path.abspath(root)
    for number, path in enumerate(_files(root), 1):
        yield Row(folder, str(path.relative_to(root)), "file", number, label="")


def names_classes(root: Path, class_names: Sequence[str]) -> bool:
    """Tells whether a folder in it is called like a class or a split: `from_tree` is meant then.

    Raises:
      CxrError: It cannot be listed.
    """
    return any(name in (*class_names, *features.SPLITS) for name in _folders(root))


def _table(root: Path, manifest: str) -> str:
    """Returns another remedy where a table lies in a folder that is no tree: it may be the manifest."""
    found = {path.suffix.lower() for path in _listed(root) if path.is_file() and may_be_data(path.name)}
    if found & _TABLES:
        return f"; if a table in {root} is the manifest, call it {manifest}, or name it in place of the folder"
    if sheets := sorted(found & _SPREADSHEETS):
        return f"; if the {sheets[0]} file in {root} is the manifest, save it there as {manifest} ('CSV UTF-8')"
    return ""


def _splits(folders: Sequence[str], class_names: Sequence[str]) -> list[str]:
    """Returns those of the folders that stand for splits."""
    return [name for name in folders if name in features.SPLITS and name not in class_names]


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in _listed(root) if path.is_dir() and may_be_data(path.name))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise CxrError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None


def _files(folder: Path) -> list[Path]:
    def fail(error: OSError) -> None:
        raise CxrError(f"{folder}: a folder below it cannot be listed ({error.strerror}); check the permissions there")

    return sorted(data_files(folder, fail))

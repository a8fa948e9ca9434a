"""Keeps paths out of the page: people send it around, and a path can hold a name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import yaml

from cxr.trainer.model_config import WITHOUT_FOLDER

PATH = "(path)"
HIDDEN = "(not shown)"
# From the first word with a slash (or the name of an image, list or archive) to the last one of a line: what stands between may belong to a
# path with spaces in it.
_WORD = r"\S*(?:[/\\]|\.(?:dcm|dicom|png|jpe?g|bmp|tiff?|csv|json|ya?ml|gz|npz|npy|keras|h5|pbtxt)\b)\S*"
_SPAN = re.compile(rf"{_WORD}(?:.*{_WORD})?", re.IGNORECASE)
_ADDRESS = re.compile(r"^(?:[/~\\]|\.{1,2}/|[A-Za-z]:\\|[a-z][a-z0-9+]*://)")


def without_paths(text: str) -> str:
    """Returns a message with its paths and file names replaced."""
    return "\n".join(_SPAN.sub(PATH, line) for line in text.splitlines())


def place(uri: str) -> str:
    """Returns the end of an artifact's URI, `<node>/<output>/<number>`: enough to find it below the pipeline's root."""
    return "/".join(PurePosixPath(uri).parts[-3:])


def configuration_without_paths(text: str) -> str:
    """Returns a configuration (YAML) whose paths are replaced, and the values of whose choice of rows, which can name people.

    Args:
      text: As `Config.to_yaml` writes it.
    """
    tree = yaml.safe_load(text) or {}
    data = tree.get("data")
    if isinstance(data, dict) and data.get("where"):
        data["where"] = dict.fromkeys(data["where"], HIDDEN)
    _hide_folders(tree)
    return yaml.safe_dump(_redacted(tree), sort_keys=False, allow_unicode=True, width=100)


def _hide_folders(tree: Any) -> None:
    """Hides what names a file or folder by its key, whatever it looks like: a relative one may hold blanks, and no slash."""
    if not isinstance(tree, dict):
        return
    models = tree.get("models")
    named = [(tree, "schema_file"), (tree.get("feature_cache"), "folder")]
    named += [(model, "weights") for model in models.values()] if isinstance(models, dict) else []
    for part, key in named:
        if isinstance(part, dict) and isinstance(part.get(key), str) and part[key] not in WITHOUT_FOLDER:
            part[key] = PATH


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    return PATH if isinstance(value, str) and (_ADDRESS.match(value) or "/" in value and " " not in value) else value

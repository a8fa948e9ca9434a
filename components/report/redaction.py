"""Keeps paths out of the page: people send it around, and a path can hold a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from cxr.trainer.model_config import WITHOUT_FOLDER

PATH = "(path)"
HIDDEN = "(not shown)"
_ENDINGS = "dcm|dicom|png|jpe?g|bmp|gif|webp|tiff?|nii|csv|tsv|txt|json|ya?ml|gz|zip|tar|npz|npy|parquet|tfrecord|keras|h5|pbtxt"
# A word with a slash, or the name of an image, list or archive.
_WORD = re.compile(rf"\S*(?:[/\\]|\.(?:{_ENDINGS})\b)\S*", re.IGNORECASE)
_QUOTED = re.compile(r"(?<!\w)(['\"])(.*?)\1(?!\w)")
_ADDRESS = re.compile(r"^(?:[/~\\]|\.{1,2}/|[A-Za-z]:\\|[a-z][a-z0-9+]*://)")
_ENDED = re.compile(rf"(?:[:;,]|\.(?:{_ENDINGS})\W*)$", re.IGNORECASE)
_END = re.compile(r"[:;,]|$")
_CHOICE_OF_ROWS = "data.where."  # its values can name people
_PLACES = re.compile(r"schema_file|feature_cache\.folder|(?:defaults|models\.[^.]+)\.weights")


def without_paths(text: str) -> str:
    """Returns a message with its paths and file names replaced."""
    return "\n".join(map(_line_without_paths, text.splitlines()))


def _line_without_paths(line: str) -> str:
    """Replaces all from the first path to the last one: what stands between may belong to a path with spaces in it.

    Of quotes with a path in them all goes; a path that ends in no known file's ending goes on to the next mark, as a folder's name may.
    """
    line = _QUOTED.sub(lambda match: f"{match[1]}{PATH}{match[1]}" if _WORD.search(match[2]) else match[0], line)
    words = list(_WORD.finditer(line))
    if not words:
        return line
    last, end = words[-1][0], words[-1].end()
    if len(last) > 1 and _ADDRESS.match(last) and not _ENDED.search(last):
        end = next(_END.finditer(line, end)).start()
    return line[: words[0].start()] + PATH + line[end:]


def hidden(key: str, value: Any) -> Any:
    """Returns a part of a configuration without what its keys say is a place or can name people, whatever it looks like.

    Args:
      key: Dotted, of the part; empty: the whole.
      value: As YAML has it.
    """
    if key.startswith(_CHOICE_OF_ROWS):
        return HIDDEN
    if isinstance(value, Mapping):
        return {name: hidden(f"{key}.{name}" if key else str(name), part) for name, part in value.items()}
    place_of = isinstance(value, str) and _PLACES.fullmatch(key) and value not in WITHOUT_FOLDER
    return PATH if place_of else value


def place(uri: str) -> str:
    """Returns the end of an artifact's URI, `<node>/<output>/<number>`: enough to find it below the pipeline's root."""
    return "/".join(PurePosixPath(uri).parts[-3:])


def configuration_without_paths(text: str) -> str:
    """Returns a configuration (YAML) whose paths are replaced, and the values of whose choice of rows, which can name people.

    Args:
      text: As `Config.to_yaml` writes it.
    """
    return yaml.safe_dump(_redacted(hidden("", yaml.safe_load(text) or {})), sort_keys=False, allow_unicode=True, width=100)


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    return PATH if isinstance(value, str) and (_ADDRESS.match(value) or "/" in value and " " not in value) else value

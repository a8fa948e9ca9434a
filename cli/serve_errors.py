"""What is wrong with a server's options, in the words of `cxr serve`: its options' names and units, not those of ServerOptions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from cxr.core.validation_errors import said
from cxr.serving.server.options import NOTHING_TO_READ, ONE_OF_BOTH

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_MB = 2**20


class _Option(NamedTuple):
    name: str
    unit: str = ""
    size: int = 1  # of a unit, in that of the field


# By field, where the option is not the field's last name or counts something; seconds say it by their name.
_OPTIONS = {
    "limits.max_message_bytes": _Option("--max-message-mb", "MB", _MB),
    "limits.max_image_pixels": _Option("--max-image-pixels", "pixels"),
    "batching.max_batch_size": _Option("--max-batch-size", "images"),
    "batching.batch_timeout_micros": _Option("--batch-timeout-micros", "microseconds"),
    "rest.timeout_seconds": _Option("--rest-timeout", "seconds"),
    "request_log.sampling": _Option("--log-sampling"),
    "request_log.file_bytes": _Option("--log-file-mb", "MB", _MB),
    "request_log.total_bytes": _Option("--log-total-mb", "MB", _MB),
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_CHECKS = {
    ONE_OF_BOTH: "MODELS_DIR: name the folder of models, or a --model-config-file (one of them)",
    NOTHING_TO_READ: "--model-config-file-poll-seconds reads the file again that --model-config-file names; give that, too",
}
_ROOM = "--log-total-mb: must be at least twice --log-file-mb, else whole logs would go at a time"


def in_words_of_options(errors: ValidationError) -> str:
    """Returns option, bound and unit of each error of a ServerOptions, in one line."""
    return "; ".join(map(_said, errors.errors()))


def _said(error: ErrorDetails) -> str:
    place = ".".join(map(str, error["loc"]))
    if place == "request_log" and error["type"] == "value_error":  # its one check of two fields
        return _ROOM
    if not place:
        return _CHECKS.get(said(error)) or said(error)
    option = _OPTIONS.get(place) or _Option(f"--{place.rpartition('.')[2].replace('_', '-')}", "seconds" if "seconds" in place else "")
    for bound, words in _BOUNDS.items():
        if bound in (context := error.get("ctx", {})):
            return f"{option.name}: must be {words} {_counted(context[bound], option, upper=bound in ('le', 'lt'))}"
    return f"{option.name}: {said(error).replace('Input should', 'must')}"


def _counted(value: float, option: _Option, upper: bool) -> str:
    count = value
    if option.size != 1:
        count = math.floor(value / option.size) if upper else math.ceil(value / option.size)
    return f"{count:.15g} {option.unit.removesuffix('s') if count == 1 else option.unit}".rstrip()

"""The outputs of one answer, held to the form in which a model of this pipeline gives them: a server may be another's, or damaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.core import features
from cxr.core.counts import how_many
from cxr.serving.client.errors import BadAnswer
from cxr.serving.client.tensors import to_arrays
from cxr.serving.client.wire import messages

_PER_CLASS = 2  # dimensions: images, classes
_TEXTS = (features.PREDICTED_LABEL, features.OUTPUT_CLASS_NAMES)


def outputs_of(response: messages.PredictResponse, ranks: Mapping[str, int], images: int) -> dict[str, npt.NDArray[Any]]:
    """Returns outputs that have one row for each image.

    Args:
      response: the answer; further outputs of it are passed over.
      ranks: by the name of each output: how many dimensions it must have. Those with two have a column for each class, and
        OUTPUT_CLASS_NAMES is one of them.
      images: of the request.

    Returns:
      By name; PREDICTED_LABEL and OUTPUT_CLASS_NAMES as arrays of str, all others of numbers.

    Raises:
      BadAnswer: one is missing, or is not of that form.
    """
    model = response.model_spec.name
    for name in ranks:
        if name not in response.outputs:
            raise BadAnswer(f"{model}: no output {name!r} in the answer, only {sorted(response.outputs)}; push a model of this pipeline")
    arrays = to_arrays({name: response.outputs[name] for name in ranks})
    for name, array in arrays.items():
        if array.ndim != ranks[name] or len(array) != images or 0 in array.shape:
            raise BadAnswer(f"{model}: output {name!r} has shape {list(array.shape)} for {how_many(images, 'image')}")
        if (array.dtype == object) is not (name in _TEXTS):
            raise BadAnswer(f"{model}: output {name!r} is of the wrong type; push a model of this pipeline")
    classes = arrays[features.OUTPUT_CLASS_NAMES].shape[1]
    for name, array in arrays.items():
        if array.ndim == _PER_CLASS and array.shape[1] != classes:
            raise BadAnswer(f"{model}: output {name!r} has shape {list(array.shape)} for {how_many(classes, 'class', 'classes')}")
    return {name: _decoded(array, f"{model}: output {name!r}") if name in _TEXTS else array for name, array in arrays.items()}


def names_after(response: messages.PredictResponse, prefix: str) -> Iterator[str]:
    """Yields the names of outputs that begin with a prefix, in alphabetical order."""
    return (name for name in sorted(response.outputs) if name.startswith(prefix))


def _decoded(array: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    try:
        return np.array([value.decode() for value in array.ravel()], object).reshape(array.shape)
    except UnicodeDecodeError:
        raise BadAnswer(f"{what} is no UTF-8; push a model of this pipeline") from None

"""From a PredictResponse to one prediction per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cxr.core import features
from cxr.serving.client.errors import RequestFailed
from cxr.serving.client.explained import HeatMap
from cxr.serving.client.outputs import names_after, outputs_of
from cxr.serving.client.wire import messages

MEMBER_PREFIX = features.MEMBER_PROBABILITIES.format(member="")
DIGITS = 6  # of a probability in JSON; float32 has no more that mean anything


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image.

    Attributes:
      path: the file, as given.
      label: the likeliest class.
      probabilities: by class.
      members: the same by ensemble member; empty for a single model.
      model, version: what answered.
      unlike_training: how unlike the model's training images the image is: 0 like them, 0.5 the border, 1 nothing like them.
      outside: whether it is beyond that border, so that the probabilities say nothing about it.
      conformal_set: the classes it may be; made to hold the right one for a share of images, `conformal_coverage`. These four are None
        where the model does not say.
      synthetic: whether that learnt from made-up images, so that its answers say nothing about patients; None: unknown.
      remarks: what the header of a DICOM file says against a frontal chest X-ray.
      heat_map: which regions speak for a class; None: was not asked for.
    """

    path: str
    label: str
    probabilities: dict[str, float]
    members: dict[str, dict[str, float]]
    model: str
    version: int
    unlike_training: float | None = None
    outside: bool | None = None
    conformal_set: tuple[str, ...] | None = None
    conformal_coverage: float | None = None
    synthetic: bool | None = None
    remarks: tuple[str, ...] = ()
    heat_map: HeatMap | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for `json.dumps`; of a heat map what it explains and whether it is empty."""
        fields = asdict(replace(self, heat_map=None))
        del fields["heat_map"]
        if self.heat_map:
            fields |= {"explained": self.heat_map.explained, features.HEAT_MAP_EMPTY: self.heat_map.empty}
        alone = {features.UNLIKE_TRAINING: self.unlike_training, features.CONFORMAL_COVERAGE: self.conformal_coverage}
        return {
            **fields,
            "probabilities": _rounded(self.probabilities),
            "members": {member: _rounded(shares) for member, shares in self.members.items()},
            **{name: None if share is None else round(share, DIGITS) for name, share in alone.items()},
        }


@dataclass(frozen=True)
class Failure:
    """One image without a prediction."""

    path: str
    error: RequestFailed

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for `json.dumps`."""
        return {"path": self.path, "error": str(self.error), "code": self.error.code.name}


def predictions(paths: Sequence[str], response: messages.PredictResponse) -> list[Prediction]:
    """Reads an answer to the signature `image_bytes` or, but for its heat maps, `gradcam`.

    Args:
      paths: of the images in the request, in its order.
      response: has the outputs named in cxr.core.features.

    Raises:
      BadAnswer: an output is missing, or is not what a model of this pipeline gives.
    """
    members = list(names_after(response, MEMBER_PREFIX))
    further = {name: rank for name, rank in _RANKS_OF_FURTHER.items() if name in response.outputs}
    outputs = outputs_of(response, {**_RANKS, **dict.fromkeys(members, 2), **further}, len(paths))
    classes, spec = outputs[features.OUTPUT_CLASS_NAMES].tolist(), response.model_spec
    return [
        Prediction(
            path=path,
            label=outputs[features.PREDICTED_LABEL][i],
            probabilities=_by_class(classes[i], outputs[features.PROBABILITIES][i]),
            members={name.removeprefix(MEMBER_PREFIX): _by_class(classes[i], outputs[name][i]) for name in members},
            model=spec.name,
            version=spec.version.value,
            **{name: _FURTHER[name](outputs[name][i], classes[i]) for name in further},
        )
        for i, path in enumerate(paths)
    ]


# Dimensions of the outputs, see `outputs_of`.
_RANKS = {features.PROBABILITIES: 2, features.PREDICTED_LABEL: 1, features.OUTPUT_CLASS_NAMES: 2}
_RANKS_OF_FURTHER = {features.UNLIKE_TRAINING: 1, features.OUTSIDE: 1, features.CONFORMAL_SET: 2}
# By output, from one image's values and the class names to the field of the same name.
_FURTHER: dict[str, Callable[[Any, Sequence[str]], Any]] = {
    features.UNLIKE_TRAINING: lambda score, _: float(score),
    features.OUTSIDE: lambda flag, _: bool(flag),
    features.CONFORMAL_SET: lambda inside, classes: tuple(name for name, is_in in zip(classes, inside, strict=True) if is_in),
}


def _by_class(classes: Sequence[str], shares: Any) -> dict[str, float]:
    return {name: float(share) for name, share in zip(classes, shares, strict=True)}


def _rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(share, DIGITS) for name, share in shares.items()}

"""What the signature `gradcam` says besides the prediction."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.core import features
from cxr.serving.client.errors import BadAnswer
from cxr.serving.client.outputs import names_after, outputs_of
from cxr.serving.client.wire import messages

MEMBER_PREFIX = features.MEMBER_HEAT_MAP.format(member="")


@dataclass(frozen=True)
class HeatMap:
    """Which regions of an image speak for a class.

    Attributes:
      explained: the class.
      heat: float32 [rows, columns] in [0, 1], laid over the whole picture; all zero where no region does.
      picture: the grey picture as it was sent, encoded.
      members: by ensemble member, its own map for the same class; empty for a single model.
    """

    explained: str
    heat: npt.NDArray[np.float32]
    picture: bytes
    members: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no region speaks for the class."""
        return not self.heat.any()

    def save(self, out: Path, image: Path, model: str, probability: float, outside: bool | None = None) -> str:
        """Lays it over the picture and writes that into an existing folder.

        Args:
          out: folder.
          image: file that the picture came from; its name is part of the overlay's.
          model: that answered.
          probability: of the class.
          outside: whether the model finds the picture unlike its training images, which the overlay then says; None: it does not say.

        Returns:
          The overlay's file name.

        Raises:
          UnwrittenError, OSError: See `save_overlay`.
        """
        from cxr.data.images.overlays import overlay, save_overlay  # matplotlib takes a while

        with Image.open(io.BytesIO(self.picture)) as picture:
            drawn = overlay(np.asarray(picture.convert("L")), self.heat, self.explained, outside=outside)
        return save_overlay(drawn, out, image, model, self.explained, probability)


def heat_maps(pictures: list[bytes], response: messages.PredictResponse) -> list[HeatMap]:
    """Reads an answer to the signature `gradcam`.

    Args:
      pictures: in the order of the request.
      response: has the outputs named in cxr.core.features.

    Raises:
      BadAnswer: an output is missing, or is not what a model of this pipeline gives.
    """
    of_members = list(names_after(response, MEMBER_PREFIX))
    ranks = {features.EXPLAINED_CLASS: 1, features.OUTPUT_CLASS_NAMES: 2, **dict.fromkeys((features.HEAT_MAP, *of_members), 3)}
    arrays = outputs_of(response, ranks, len(pictures))
    for name in (features.HEAT_MAP, *of_members):
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise BadAnswer(f"{response.model_spec.name}: output {name!r} is no map of finite floats; push a model of this pipeline")
    names, explained = arrays[features.OUTPUT_CLASS_NAMES], arrays[features.EXPLAINED_CLASS]
    if not np.isin(explained, range(names.shape[1])).all():
        raise BadAnswer(f"{response.model_spec.name}: output {features.EXPLAINED_CLASS!r} is the number of no class")
    return [
        HeatMap(
            names[i][int(explained[i])],
            arrays[features.HEAT_MAP][i],
            picture,
            {key.removeprefix(MEMBER_PREFIX): arrays[key][i] for key in of_members},
        )
        for i, picture in enumerate(pictures)
    ]

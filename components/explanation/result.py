"""What the component found: explanations.json, the maps and the overlays beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cxr.core.damaged_artifact import reading
from cxr.core.intervals import Figure, Share
from cxr.core.strict_model import StrictModel

RESULT, MAPS = "explanations.json", "heat_maps.npz"
OVERLAYS = "overlays"  # folder of pictures, each named by the number of its image


class Localisation(StrictModel):
    """How much of a model's heat maps lies inside the lesions, for the class of the lesion; means over the images."""

    model: str
    images: int = Field(description="with a lesion and a map that is not empty")
    patients: int
    empty: int = Field(description="further images with a lesion, whose map is empty")
    energy: Share = Field(description="share of the heat that lies inside the lesion")
    area: Share = Field(description="share of the picture that the lesion takes: what a map that is the same everywhere would have inside")
    above_area: Figure = Field(description="the difference of the two")
    elsewhere: Share = Field(description="share of the heat inside the lesions of the same class in other patients' pictures")
    above_elsewhere: Figure = Field(description="the energy less that")
    hits: Share = Field(description="share of the maps whose hottest place lies inside the lesion")
    verdict: str


class Result(StrictModel):
    """The explanations of one model."""

    model: str
    split: str
    seed: int
    samples: int = Field(description="images that were drawn; wrong answers are explained besides")
    explained: int = Field(description="images in all")
    empty: int = Field(description="of these, whose map is empty")
    localisation: tuple[Localisation, ...] = Field(description="of the model and its members; empty: no lesion is known")

    def save(self, folder: Path, maps: HeatMaps) -> None:
        """Writes explanations.json and the maps."""
        self.write(folder / RESULT)
        np.savez_compressed(folder / MAPS, images=maps.images, classes=maps.classes, heats=maps.heats)

    @classmethod
    def load(cls, folder: Path) -> Result:
        """Reads explanations.json.

        Raises:
          CxrError: There is none, or it is damaged.
        """
        return cls.read(folder / RESULT, "run again with --no-cache")


@dataclass(frozen=True)
class HeatMaps:
    """The maps of the classes that were predicted.

    Attributes:
      images: int64 [images], numbers (components.metrics.answers.image_number).
      classes: int64 [images], that are explained.
      heats: float32 [images, rows, columns] in [0, 1].
    """

    images: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    heats: npt.NDArray[np.float32]


def load_maps(folder: Path) -> HeatMaps:
    """Reads the maps beside explanations.json.

    Raises:
      CxrError: There are none, or they are damaged.
    """
    with reading(folder), np.load(folder / MAPS, allow_pickle=False) as arrays:
        return HeatMaps(arrays["images"], arrays["classes"], arrays["heats"])

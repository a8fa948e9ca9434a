"""What Transform does to an image besides decoding and resizing it: the section `preprocessing` of a pipeline's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxr.core.strict_model import StrictModel

CROP_ENLARGES = 2  # times, about: a box round the lungs has half of each side
Crop = Literal["none", "thorax"]
Contrast = Literal["none", "percentiles", "equalize", "clahe"]
Normalization = Literal["none", "training_set", "per_image"]


class Preprocessing(StrictModel):
    """What Transform does to an image besides decoding and resizing it, in this order.

    border: so much of each side is cut off before the picture is resized: letters, markers and collimator edges often stand there.

    crop (trainer/thorax.py), of what is left:
      none: nothing.
      thorax: the picture is cut to a box round the lungs, found by a template of dark and bright rectangles; the whole is kept where
        nothing looks like a thorax.

    contrast (trainer/contrast.py), per picture:
      none: nothing.
      percentiles: a linear map that takes the darkest and the brightest hundredth to 0 and 1.
      equalize: histogram equalisation; all grey levels become equally frequent.
      clahe: the same in 8 by 8 tiles, interpolated, with limited contrast.

    normalization:
      none: grey levels stay what the detector, or whoever exported the picture, made of them.
      training_set: one linear map for all pictures. The mean grey level of the training split goes to 0.5, two standard deviations to
        either side fill [0, 1].
      per_image: one linear map per picture, which gives it the brightness (mean) and the contrast (standard deviation) that pictures of
        the training split have on average. What tells hospitals apart by exposure alone is gone.
    """

    border: float = Field(0.0, ge=0, lt=0.5, description="share of height and width that is cut off at each side")
    crop: Crop = Field("none", description="of each picture: none, or thorax: to a box round the lungs")
    contrast: Contrast = Field("none", description="of each picture: none, percentiles, equalize or clahe")
    normalization: Normalization = Field("none", description="of grey levels: none, training_set or per_image")

    @property
    def enlargement(self) -> float:
        """How much larger things are shown than in the whole picture at the same size; with a crop about so much, picture by picture."""
        return (1 if self.crop == "none" else CROP_ENLARGES) / (1 - 2 * self.border)

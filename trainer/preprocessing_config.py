"""What Transform does to an image besides decoding and resizing it: the section `preprocessing` of a pipeline's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxr.core.strict_model import StrictModel

Normalization = Literal["none", "training_set", "per_image"]


class Preprocessing(StrictModel):
    """What Transform does to an image besides decoding and resizing it.

    normalization:
      none: grey levels stay what the detector, or whoever exported the picture, made of them.
      training_set: one linear map for all pictures. The mean grey level of the training split goes to 0.5, two standard deviations to
        either side fill [0, 1].
      per_image: one linear map per picture, which gives it the brightness (mean) and the contrast (standard deviation) that pictures of
        the training split have on average. What tells hospitals apart by exposure alone is gone.
    """

    normalization: Normalization = Field("none", description="of grey levels: none, training_set or per_image")

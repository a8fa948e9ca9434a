"""When a feature counts as drifted: the only home of the limits, of a pipeline's runs and of `cxr validate`."""

from __future__ import annotations

from pydantic import Field

from cxr.core.strict_model import StrictModel


class Limits(StrictModel):
    """The distances that two sets of images may have."""

    jensen_shannon: float = Field(0.1, ge=0, le=1, description="divergence of two distributions, base 2: 0 equal, 1 nothing in common")
    l_infinity: float = Field(0.1, ge=0, le=1, description="largest difference of one value's share (categorical features)")


class Drift(Limits):
    """The comparison of a run's data with those of the run before."""

    # Of 100 images a share of a half has a standard deviation of 0.05, before several images of a patient widen it.
    min_images: int = Field(200, ge=1, description="a split in which fewer state a feature, now or then, is shown and not judged")
    fail: bool = Field(False, description="drift stops the run before anything is trained; false: it is reported")

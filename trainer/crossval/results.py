"""What a cross-validation says of the answers of one model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, model_validator

from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS, row_of
from cxr.core.intervals import Figure, checked_share
from cxr.core.measurement import Measurement
from cxr.core.strict_model import StrictModel


class FoldFigures(StrictModel):
    """How good the answers of one model to some images are; classes without images have figures without a value.

    Beside the fields it has one for each row of core/figure_table.py: a figure, or class to figure.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Figure | dict[str, Figure]]

    images: int
    patients: int

    @model_validator(mode="after")
    def _only_figures(self) -> FoldFigures:
        for name, found in self.__pydantic_extra__.items():
            if row_of(name).share:
                for figure in found.values() if isinstance(found, dict) else (found,):
                    checked_share(figure)
        return self

    def figure(self, name: str) -> Figure:
        """Returns a figure of all classes."""
        found = self.__pydantic_extra__[name]
        assert isinstance(found, Figure), f"{name} is of one class"
        return found

    def of_classes(self, name: str) -> dict[str, Figure]:
        """Returns such a figure of each class."""
        found = self.__pydantic_extra__[name]
        assert isinstance(found, dict), f"{name} is of all classes"
        return found


def measurement_of(labels: npt.NDArray[np.int64], patients: npt.NDArray[np.str_], probabilities: npt.NDArray[np.float32]) -> Measurement:
    """Measures answers: labels [images], patients [images], probabilities [images, classes]."""
    return Measurement(np.unique(patients, return_inverse=True)[1], labels, probabilities)


def measured(found: Measurement, class_names: Sequence[str]) -> FoldFigures:
    """Returns all figures with their intervals."""
    return FoldFigures(
        images=found.images,
        patients=found.patients,
        **{name: found.figure(name) for name in (row.name for row in OF_ALL_CLASSES)},
        **{name: found.of_classes(name, class_names) for name in (row.name for row in OF_ONE_CLASS)},
    )


def rounded(probabilities: npt.NDArray[np.float32]) -> list[list[float]]:
    """Returns probabilities for JSON, to six digits."""
    return [[round(float(p), 6) for p in row] for row in probabilities]

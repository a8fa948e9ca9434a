"""The figures that models are judged by, a row each: all that tables, intervals, gate and comparisons know of one.

`core.figures.Figures` computes each under its name; whoever lists, names, bounds or compares figures reads it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Behind(Enum):
    """On whom a figure rests: not all patients of a set of images have a say in each."""

    EVERYBODY = "all patients"
    RAREST_CLASS = "those of the rarest class that has any, times the classes that have"
    OWN = "those with an image of the class"
    TAKEN_FOR_IT = "those with an image that is taken for the class"
    OTHERS = "those with an image of another class"
    SMALLER_SIDE = "the fewer of those with an image of the class and those with one of another"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
      name: Attribute of `core.figures.Figures`, and its name in results, files, settings and properties.
      title: For people, within a sentence.
      behind: On whom it rests.
      of_class: There is one for each class, that class against the rest; else one of all classes.
      share: In [0, 1], of independent trials: of images, or, as an AUC is, of pairs of one image of a class and one of another (its
          variance is at most auc * (1 - auc) / patients of the smaller side: van Dantzig, 1951). Where draws cannot tell it has Wilson's
          interval.
      lower_is_better: The less the better.
      paired: The difference of two models on the same patients says which is the better. That of calibration errors does not: chance adds
          to each, and the more, the better calibrated the model is.
      by_slice: Tables of slices, which are narrow, show it too.
    """

    name: str
    title: str
    behind: Behind
    of_class: bool = False
    share: bool = False
    lower_is_better: bool = False
    paired: bool = True
    by_slice: bool = False


ACCURACY = "accuracy"
BALANCED_ACCURACY = "balanced_accuracy"
LOG_LOSS = "log_loss"
CALIBRATION_ERROR = "calibration_error"
PRECISION = "precision"
RECALL = "recall"
AUC = "auc"
SPECIFICITY = "specificity"

# In the order of all tables, and of the columns of an Evaluator's draws, which are kept: a new row goes to the end of its kind.
OF_ALL_CLASSES = (
    Row(ACCURACY, "accuracy", Behind.EVERYBODY, share=True, by_slice=True),
    Row(BALANCED_ACCURACY, "balanced accuracy", Behind.RAREST_CLASS, share=True, by_slice=True),
    Row(LOG_LOSS, "log loss", Behind.EVERYBODY, lower_is_better=True),
    Row(CALIBRATION_ERROR, "calibration error", Behind.EVERYBODY, lower_is_better=True, paired=False, by_slice=True),
)
OF_ONE_CLASS = (
    Row(PRECISION, "precision", Behind.TAKEN_FOR_IT, of_class=True, share=True),
    Row(RECALL, "recall", Behind.OWN, of_class=True, share=True),
    Row(AUC, "AUC", Behind.SMALLER_SIDE, of_class=True, share=True),
    Row(SPECIFICITY, "specificity", Behind.OTHERS, of_class=True, share=True),
)
TABLE = {row.name: row for row in (*OF_ALL_CLASSES, *OF_ONE_CLASS)}


def row_of(name: str) -> Row:
    """Returns a figure's row.

    Raises:
      ValueError: There is no such figure.
    """
    if name not in TABLE:
        raise ValueError(f"there is no figure {name}; there are {', '.join(TABLE)}")
    return TABLE[name]


def interval_key(name: str) -> str:
    """Returns how the interval of a figure is called that stands beside it in files: `accuracy_interval`."""
    return f"{name}_interval"

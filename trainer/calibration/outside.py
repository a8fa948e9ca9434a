"""How unlike a picture is to anything in the training data, from the features that the head gets.

Two distances are added: how far the features lie from the centre within the directions in which the training images vary most, in
standard deviations of each, and how far they lie outside of these directions at all ('distance in feature space' and 'distance from
feature space', Moghaddam and Pentland, IEEE PAMI 19, 1997; the first is Lee et al.'s Mahalanobis score, NeurIPS 2018, without classes). A
table of neighbours (k-NN) is no better in our measurement (docs/evaluation.md) and would carry numbers of every patient's picture
with the model; here only means, variances and directions of all of them travel.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.features import TRAIN, VAL
from cxr.core.stored_rows import ROWS_IN_MEMORY, Array, FloatRows
from cxr.trainer import artifact, files
from cxr.trainer.calibration.ranks import conformal_quantile
from cxr.trainer.calibration_info import Outside
from cxr.trainer.models.heads import floored

DIRECTIONS = 32  # at most; and one per IMAGES_PER_DIRECTION training images
IMAGES_PER_DIRECTION = 8
MOST_IMAGES = 2000  # training images that the directions are fitted on: more change nothing, and the decomposition takes their square
_ROUNDING = 1e-6  # of float32: the image that lies on the border is not beyond it
SMALLEST = 1e-6  # a score is clipped to this, and as much below 1, before its logarithm is taken


@dataclass(frozen=True)
class Detector:
    """What `OutsideScore` computes with; float32."""

    mean: Array  # [features]
    scale: Array  # [features], one over the standard deviation
    directions: Array  # [directions, features], orthonormal
    variances: Array  # [directions], of the training images along them
    residual: Array  # [], mean squared length outside of them
    border: Array  # [], distance that the stated share of validation images exceeds

    def distances(self, pooled: FloatRows) -> npt.NDArray[np.float64]:
        """Returns the distance of features [images, features], [images]; root of the mean of both parts, about 1 on training images."""
        return np.concatenate([self._distances(np.asarray(pooled[part])) for part in gen_batches(len(pooled), ROWS_IN_MEMORY)])

    def scores(self, pooled: FloatRows) -> Array:
        """Returns distance / (distance + border), [images] in [0, 1)."""
        distance = self.distances(pooled)
        return (distance / (distance + self.border)).astype(np.float32)

    def _distances(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        z = (rows.astype(np.float64) - self.mean) * self.scale
        along = z @ self.directions.T
        beside = ((z - along @ self.directions) ** 2).sum(axis=1)
        return np.sqrt(((along**2 / self.variances).mean(axis=1) + beside / self.residual) / 2)


def fit(pooled: Mapping[str, FloatRows], share: float, seed: int) -> tuple[Detector | None, Outside]:
    """Fits the detector on the training images and its border on the validation images.

    Args:
      pooled: By split, [images, features].
      share: Of the validation images, that may be flagged.
      seed: Of the choice among many training images, and of the search for directions.

    Returns:
      None, with the reason in the description, where there are too few images.
    """
    train, val = pooled[TRAIN], pooled.get(VAL)
    count = min(DIRECTIONS, len(train) // IMAGES_PER_DIRECTION, train.shape[1] - 1)
    if val is None or not len(val):
        return None, Outside(share=share, note="no validation split to find the border on: no such output")
    if count < 1:
        return None, Outside(
            share=share, note=f"{how_many(len(train), 'training image is', 'training images are')} too few: no such output"
        )
    some = np.sort(np.random.default_rng(seed).permutation(len(train))[:MOST_IMAGES])
    chosen = np.asarray(train[some]).astype(np.float64)
    mean, scale = chosen.mean(axis=0), 1 / np.sqrt(floored(chosen.var(axis=0)))
    z = (chosen - mean) * scale
    # The floors keep distances numbers where features do not vary at all.
    with np.errstate(invalid="ignore"):  # the share of a variance of zero that each direction explains; not read
        found = PCA(count, svd_solver="randomized", random_state=seed).fit(z)
    along = found.transform(z)
    beside = max(float(((z - found.inverse_transform(along)) ** 2).sum(axis=1).mean()), _ROUNDING)
    parts = (mean, scale, found.components_, np.maximum(found.explained_variance_, _ROUNDING), beside, 1.0)
    unscaled = Detector(*(np.asarray(part, np.float32) for part in parts))
    distances = unscaled.distances(val)
    border = conformal_quantile(distances, 1 - share)
    note = "" if border is not None else _too_few(len(val))
    border = float(distances.max(initial=0)) if border is None else border
    border = max(border * (1 + _ROUNDING), _ROUNDING)
    detector = replace(unscaled, border=np.asarray(border, np.float32))
    flagged = float((detector.scores(val) > features.UNLIKE_BORDER).mean())
    return detector, Outside(share=share, flagged=flagged, split=VAL, images=len(val), directions=count, note=note)


def _too_few(images: int) -> str:
    return f"{how_many(images, 'validation image is', 'validation images are')} too few for this share: none of them is flagged"


def fit_joint(scores: list[Array], share: float) -> tuple[float, Outside]:
    """Finds the border of an ensemble's score.

    Args:
      scores: Of each member, [images] of the validation split.
      share: Of them, that may be flagged.

    Returns:
      What is taken off the mean of the members' log ratios of distance to border, see `joint_scores`.
    """
    ratios = np.mean([_log_ratio(one) for one in scores], axis=0)
    shift = conformal_quantile(ratios, 1 - share)
    note = "" if shift is not None else _too_few(len(ratios))
    shift = (float(ratios.max()) if shift is None else shift) + _ROUNDING
    flagged = float((joint_scores(scores, shift) > features.UNLIKE_BORDER).mean())
    return shift, Outside(share=share, flagged=flagged, split=VAL, images=len(ratios), shift=shift, note=note)


def joint_scores(scores: list[Array], shift: float) -> Array:
    """Returns the geometric mean of the members' ratios of distance to border over its own border, made a score again, [images]."""
    return (1 / (1 + np.exp(shift - np.mean([_log_ratio(one) for one in scores], axis=0)))).astype(np.float32)


def _log_ratio(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    s = np.clip(np.asarray(scores, np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(s / (1 - s))


def save(uri: str, detector: Detector) -> None:
    """Keeps a detector beside the Keras model: an ensemble's export needs it."""
    buffer = io.BytesIO()
    np.savez(buffer, **asdict(detector))
    files.write_bytes(artifact.outside_path(uri), buffer.getvalue())


def load(uri: str) -> Detector | None:
    """Reads what `save` wrote; None: the model has none."""
    if not tf.io.gfile.exists(artifact.outside_path(uri)):
        return None
    with np.load(io.BytesIO(files.read_bytes(artifact.outside_path(uri))), allow_pickle=False) as arrays:
        return Detector(**arrays)

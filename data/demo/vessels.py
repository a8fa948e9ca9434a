"""The vessels of the lungs: trees that leave the hilum, branch and taper."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.data.demo.fields import SIDES, Canvas, Field, tubes
from cxr.data.demo.person import Person, Pose

STEP = 0.12  # cm between the points of a vessel
LEVELS = 8  # of branching
TRUNKS = 11  # that leave a hilum, arteries and veins
SHRINK = 0.68, 0.82  # radius of the two branches beside their parent's, about


def hilum(person: Person, pose: Pose, side: int) -> tuple[float, float]:
    """Returns where a lung's vessels enter it; the left hilum is higher."""
    return side * (2.4 + 0.08 * person.heart) + 0.3 * pose.turn, (0.47 if side < 0 else 0.44) * person.height * (0.5 + 0.5 * pose.breath)


class _Tree(NamedTuple):
    """The vessels of one lung, seen from its hilum, before a pose moves them.

    Attributes:
      start: Of the trunks, cm from the hilum, [2, TRUNKS] as x, y; like all lengths here float64.
      paths: Of each level of branching: cm from where a branch begins, [2, branches, points].
      parents: Of each level: which branch of the level before each of its own goes on from, [branches].
      radii: Of all points, cm, [points].
    """

    start: npt.NDArray[np.float64]
    paths: list[npt.NDArray[np.float64]]
    parents: list[npt.NDArray[np.intp]]
    radii: npt.NDArray[np.float64]


@lru_cache(maxsize=4)  # both sides of two persons: pictures of a person follow each other
def _grown(seed: int, side: int) -> _Tree:
    """Returns the tree of one lung of the person of that seed."""
    rng = np.random.default_rng([seed, side + 1])
    start = rng.normal(0, 0.35, (TRUNKS, 2)).T
    # angles against the horizontal, outwards: from steeply up to steeply down; the lower lobe has most of the lung
    angle = np.linspace(-1.25, 1.5, TRUNKS) + rng.normal(0, 0.15, TRUNKS)
    radius = rng.uniform(0.30, 0.55, TRUNKS) * np.where(angle > 0.4, 1.25, 1.0)
    length = rng.uniform(1.6, 3.2, TRUNKS) * np.where(angle > 0.4, 1.35, 1.0)
    paths, parents, radii = [], [], []
    begun = np.arange(TRUNKS)
    for _ in range(LEVELS):
        parents.append(begun)
        steps = int(np.ceil(length.max() / STEP))
        share = np.arange(steps) / steps
        bent = angle[:, None] + rng.normal(0, 0.35, len(angle))[:, None] * share
        step = (length / steps)[:, None]
        # a tree in space: some branches come towards the viewer and look short, and dense
        paths.append(np.stack([side * np.cos(bent), np.sin(bent)]).cumsum(axis=2) * step)
        width = radius[:, None] * (1 - 0.2 * share)
        radii.append((width * np.sqrt(step / STEP)).ravel())
        split = rng.uniform(0.22, 0.6, len(angle))
        side_of = rng.choice([-1, 1], len(angle))
        angle = np.concatenate([bent[:, -1] + 0.5 * split * side_of, bent[:, -1] - 1.2 * split * side_of])
        radius = np.concatenate([radius * SHRINK[1], radius * SHRINK[0]]) * rng.uniform(0.85, 1.1, 2 * len(radius))
        length = np.concatenate([length, length]) * rng.uniform(0.45, 1.05, 2 * len(length))
        keep = np.flatnonzero(radius > 0.035)
        if not len(keep):
            break
        begun = keep % len(split)
        angle, radius, length = angle[keep], radius[keep], length[keep]
    return _Tree(start, paths, parents, np.concatenate(radii))


def trees(person: Person, pose: Pose) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns points along the vessels of both lungs, cm [points, 2], and their radii, cm [points]; of a person always the same trees."""
    grown = {side: _grown(person.seed, side) for side in SIDES}
    radii = np.concatenate([tree.radii for tree in grown.values()])
    points, done = np.empty((2, len(radii))), 0
    for side, tree in grown.items():
        entry = np.array(hilum(person, pose, side))
        begun, ends = done, entry[:, None] + tree.start
        for path, parents in zip(tree.paths, tree.parents, strict=True):
            level = points[:, done : done + path[0].size].reshape(path.shape)
            np.add(path, ends[:, parents, None], out=level)
            ends, done = level[:, :, -1], done + path[0].size
        height = points[1, begun:done]
        height -= entry[1]
        height *= pose.breath
        height += entry[1]
    return points.T, radii


def vessels(
    canvas: Canvas, person: Person, pose: Pose, points: npt.NDArray[np.float64], radii: npt.NDArray[np.float64]
) -> Field:  # fmt: skip
    """Returns the thickness (cm) of the vessels of both lungs, float32 [pixels, pixels]; what leaves the lungs must be cut off.

    Args:
      canvas: Where.
      person: Whose.
      pose: Of the person.
      points: Of `trees`.
      radii: Of `trees`.
    """
    blood = tubes(canvas, points, radii, STEP)
    for side in SIDES:
        x, y = hilum(person, pose, side)
        rows, columns = canvas.rows(y - 5, y + 6), canvas.columns(x - 4, x + 4)
        away = ((canvas.x[:, columns] - x) / 1.1) ** 2 + ((canvas.y[rows] - y - 0.5) / 1.9) ** 2
        blood[rows, columns] += 1.1 * np.exp(-away)
    return blood


def bronchi(canvas: Canvas, points: npt.NDArray[np.float64], radii: npt.NDArray[np.float64]) -> Field:
    """Returns the thickness (cm) of the air in the bronchi, which run beside the larger vessels of `trees`, float32 [pixels, pixels]."""
    large = radii > 0.10
    return tubes(canvas, points[large] + [0.0, 0.25], 0.9 * radii[large], STEP)

"""The vessels of the lungs: trees that leave the hilum, branch and taper."""

from __future__ import annotations

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


def tree(person: Person, pose: Pose, side: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns points along the vessels of one lung, cm [points, 2], and their radii, cm [points]; of a person always the same tree."""
    rng = np.random.default_rng([person.seed, side + 1])
    at = np.tile(hilum(person, pose, side), (TRUNKS, 1)) + rng.normal(0, 0.35, (TRUNKS, 2))
    # angles against the horizontal, outwards: from steeply up to steeply down; the lower lobe has most of the lung
    angle = np.linspace(-1.25, 1.5, TRUNKS) + rng.normal(0, 0.15, TRUNKS)
    radius = rng.uniform(0.30, 0.55, TRUNKS) * np.where(angle > 0.4, 1.25, 1.0)
    length = rng.uniform(1.6, 3.2, TRUNKS) * np.where(angle > 0.4, 1.35, 1.0)
    points, radii = [], []
    for _ in range(LEVELS):
        steps = int(np.ceil(length.max() / STEP))
        share = np.arange(steps) / steps
        bent = angle[:, None] + rng.normal(0, 0.35, len(angle))[:, None] * share
        step = (length / steps)[:, None]
        path = np.stack([side * np.cos(bent), np.sin(bent)], -1).cumsum(axis=1) * step[..., None] + at[:, None]
        # a tree in space: some branches come towards the viewer and look short, and dense
        points.append(path.reshape(-1, 2))
        width = radius[:, None] * (1 - 0.2 * share)
        radii.append((width * np.sqrt(step / STEP)).ravel())
        split = rng.uniform(0.22, 0.6, len(angle))
        side_of = rng.choice([-1, 1], len(angle))
        at = np.concatenate([path[:, -1], path[:, -1]])
        angle = np.concatenate([bent[:, -1] + 0.5 * split * side_of, bent[:, -1] - 1.2 * split * side_of])
        radius = np.concatenate([radius * SHRINK[1], radius * SHRINK[0]]) * rng.uniform(0.85, 1.1, 2 * len(radius))
        length = np.concatenate([length, length]) * rng.uniform(0.45, 1.05, 2 * len(length))
        keep = radius > 0.035
        at, angle, radius, length = at[keep], angle[keep], radius[keep], length[keep]
        if not len(angle):
            break
    found = np.concatenate(points)
    found[:, 1] = hilum(person, pose, side)[1] + (found[:, 1] - hilum(person, pose, side)[1]) * pose.breath
    return found, np.concatenate(radii)


def vessels(canvas: Canvas, person: Person, pose: Pose) -> tuple[Field, Field]:
    """Returns the thickness of both lungs' vessels, and of the air in their bronchi, which run beside the larger arteries.

    Both in cm, float32 [pixels, pixels]; what leaves the lungs must be cut off.
    """
    trees = [tree(person, pose, side) for side in SIDES]
    points, radii = (np.concatenate(parts) for parts in zip(*trees, strict=True))
    blood = tubes(canvas, points, radii, STEP)
    for side in SIDES:
        x, y = hilum(person, pose, side)
        rows, columns = canvas.rows(y - 5, y + 6), canvas.columns(x - 4, x + 4)
        away = ((canvas.x[:, columns] - x) / 1.1) ** 2 + ((canvas.y[rows] - y - 0.5) / 1.9) ** 2
        blood[rows, columns] += 1.1 * np.exp(-away)
    large = radii > 0.10
    return blood, tubes(canvas, points[large] + [0.0, 0.25], 0.9 * radii[large], STEP)

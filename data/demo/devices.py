"""Foreign bodies on some pictures of every class: electrodes and their wires, lines, tubes, pacemakers. Thicknesses of metal (cm)."""

from __future__ import annotations

import numpy as np

from cxr.data.demo.fields import FADED, SIDES, Box, Canvas, Field, curve, soft, tubes
from cxr.data.demo.person import AP, Person, Pose

# Probability in AP (in bed) and in PA, and thickness in cm of bone that absorbs as much as 1 cm of it
ELECTRODES, CENTRAL_LINE, WINDPIPE_TUBE, PACEMAKER, STERNAL_WIRES = (0.45, 0.10), (0.25, 0.05), (0.18, 0.0), (0.05, 0.05), (0.06, 0.04)
PLASTIC, STEEL = 1.6, 6.0


def devices(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    """Returns what lies on the person or in it, as thickness of bone; often nothing."""
    total = canvas.zeros()
    for (in_bed, upright), draw in (
        (ELECTRODES, _electrodes),
        (CENTRAL_LINE, _central_line),
        (WINDPIPE_TUBE, _windpipe_tube),
        (PACEMAKER, _pacemaker),
        (STERNAL_WIRES, _sternal_wires),
    ):
        if rng.random() < (in_bed if pose.view == AP else upright):
            total += draw(canvas, person, pose, rng)
    return total


def _line(canvas: Canvas, corners: list[tuple[float, float]], radius: float, absorbs: float) -> Field:
    points = curve(corners, 0.08)
    return absorbs * tubes(canvas, points, np.full(len(points), radius), 0.08)


def _electrode(canvas: Canvas, at: tuple[float, float]) -> tuple[Box, Field]:
    """Returns a ring around a knob, and the box that it fills."""
    ring, hole, knob, edge = 0.75, 0.55, 0.28, 0.08
    rows, columns = box = canvas.around([at], ring + FADED * edge)
    away = np.hypot(canvas.x[:, columns] - at[0], canvas.y[rows] - at[1])
    return box, 0.25 * (soft(away - ring, edge) - 0.7 * soft(away - hole, edge)) + 0.7 * soft(away - knob, edge)


def _electrodes(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    total = canvas.zeros()
    end = (rng.choice(SIDES) * rng.uniform(12, 20), canvas.top + canvas.side + 1)  # where the wires leave the picture
    for across, down in ((-0.75, 0.12), (0.75, 0.12), (0.7, 0.85), (-0.7, 0.9)):
        if rng.random() < 0.2:
            continue
        at = across * person.chest + rng.normal(0, 1.0), down * person.height + rng.normal(0, 1.2)
        box, electrode = _electrode(canvas, at)
        total[box] += electrode
        bends = [
            (at[0] + f * (end[0] - at[0]) + rng.normal(0, 1.6), at[1] + f * (end[1] - at[1]) + rng.normal(0, 1.2)) for f in (0.3, 0.65)
        ]
        total += _line(canvas, [at, *bends, end], 0.09, PLASTIC)
    return total


def _central_line(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    side = int(rng.choice(SIDES))
    tip = (-1.9 + 0.6 * pose.turn, rng.uniform(0.36, 0.5) * person.height)  # in the superior vena cava
    if rng.random() < 0.5:  # from the neck
        return _line(canvas, [(side * 4.5, -7), (side * 3.2, -2), (-1.2, 4), tip], 0.10, PLASTIC)
    return _line(canvas, [(side * 11, 3.5), (side * 7, 0.9), (side * 2.8, 2.0), (-1.5, 5.5), tip], 0.10, PLASTIC)


def _windpipe_tube(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    end = (0.3 * pose.turn, rng.uniform(0.16, 0.28) * person.height)
    wall = _line(canvas, [(0.6, -9), (0.1, -3), (0, 1), end], 0.42, 0.35) + _line(
        canvas, [(0.8, -9), (0.35, -3), (0.25, 1), end], 0.07, PLASTIC
    )
    if rng.random() < 0.6:  # a feeding tube beside it, into the stomach
        wall += _line(canvas, [(-0.6, -9), (0.4, 2), (0.8, 10), (1.2, 0.9 * person.height), (4.5, 1.2 * person.height)], 0.13, PLASTIC)
    return wall


def _pacemaker(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    at = 0.72 * person.chest + rng.normal(0, 0.5), 4.2 + rng.normal(0, 0.5)
    rows, columns = canvas.around([at], 2.5 * (1 + FADED * 0.06))
    x, y = canvas.x[:, columns] - at[0], canvas.y[rows] - at[1]
    square, disc = np.maximum(np.abs(x) / 2.3, np.abs(y) / 1.9), np.hypot(x, y) / 2.5
    case = soft(np.maximum(square, disc) - 1, 0.06)
    floor = person.height * pose.breath
    lead = [(at[0] - 1.5, at[1] - 1.5), (4.5, 1.8), (0, 4.0), (-1.9, 0.5 * floor), (-2.2, 0.82 * floor), (3.0, floor - 0.8)]
    total = _line(canvas, lead, 0.09, STEEL)
    total[rows, columns] += 1.6 * case
    return total


def _sternal_wires(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    total = canvas.zeros()
    for k in range(int(rng.integers(4, 7))):
        x, y = 0.9 * pose.turn + rng.normal(0, 0.15), 4.2 + 2.4 * k
        loop = [(x - 1.0, y), (x - 0.3, y - 0.35), (x + 0.7, y - 0.1), (x + 0.9, y + 0.3), (x, y + 0.4), (x - 1.0, y + 0.1)]
        total += _line(canvas, loop, 0.05, STEEL)
    return total

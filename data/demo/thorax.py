"""Soft tissue and air of a chest, as thicknesses along the beam (cm)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter

from cxr.data.demo.fields import SIDES, Box, Canvas, Field, curve, noise, root, soft
from cxr.data.demo.person import Person, Pose

APEX = 4.8  # cm from the midline to the lungs' tops
LUNG_DEPTH = 0.66  # of the body's
LEFT_LOWER = 1.3  # cm by which the left half of the diaphragm stands lower
RECESS = 5.0  # cm that the lungs reach down behind the diaphragm


def chest_wall(y: Field, person: Person) -> Field:
    """Returns how far from the midline the lungs reach at a height, float like y."""
    down = np.clip(y / (0.76 * person.height), 0, 1)
    return APEX + (person.chest - APEX) * (1 - (1 - down) ** 2.6) ** 0.56


@dataclass(frozen=True)
class Lungs:
    """Both lungs, as they would be with nothing between or before them. All float32.

    Attributes:
      side: -1 or 1 for the picture's left and right, [1, pixels].
      thickness: Along the beam, cm, [pixels, pixels].
      across: 0 at the mediastinum, 1 at the chest wall, [pixels, pixels].
      down: 0 at the top, 1 where the diaphragm is highest, [pixels, pixels].
      dome: y of the diaphragm's silhouette, [1, pixels].
      box: The rows and columns out of which `thickness` is 0.
    """

    side: Field
    thickness: Field
    across: Field
    down: Field
    dome: Field
    box: Box


def lungs(canvas: Canvas, person: Person, pose: Pose) -> Lungs:
    """Returns a person's lungs."""
    y, out = canvas.y, np.abs(canvas.x)
    side = np.where(canvas.x < 0, np.float32(SIDES[0]), np.float32(SIDES[1]))
    outer = chest_wall(y, person) * (1 + 0.02 * side * pose.turn)
    inner = APEX - 4.0 * root(1 - (1 - np.clip(y / 5, 0, 1)) ** 2)
    across = (out - inner) / np.maximum(outer - inner, 0.1)
    height = person.height * pose.breath + LEFT_LOWER * (side > 0).astype(np.float32)
    away = (out - 0.48 * person.chest) / (0.55 * person.chest)
    dome = height + np.where(away > 0, 3.6 * np.abs(away) ** 2.4, 1.7 * np.abs(away) ** 2)
    below = np.clip((y - dome) / RECESS, 0, 1)
    # a thin wedge reaches down behind the dome, not behind the heart
    wedge = (0.14 + 0.86 * (1 - np.sqrt(np.clip(3 * below, 0, 1)))) * (1 - below) * np.clip((across - 0.15) / 0.35, 0, 1)
    uncovered = np.where(y > dome, wedge, 1)
    depth = LUNG_DEPTH * person.depth * (1 - 0.05 * (person.fat - 0.7)) * root(1 - (1 - np.clip((y + 0.2) / 11, 0, 1)) ** 2)
    thickness = canvas.zeros()
    box = canvas.rows(-0.2, float(dome.max()) + RECESS), canvas.columns(-float(outer.max()), float(outer.max()))
    round_ = root(1 - np.abs(np.clip(2 * across[box] - 1, -1, 1)) ** 3.2)
    thickness[box] = depth[box[0]] * round_ * uncovered[box]
    return Lungs(side, thickness, across, y / height, dome, box)


def body(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    """Returns the body's thickness, as if it were solid: trunk, neck, shoulders, arms, breasts."""
    fat, chest, depth = person.fat, person.chest, person.depth
    wall = chest + 1.7 + fat
    neck = 5.4 + 0.3 * fat
    tip = chest + 4.6 + 0.4 * fat  # of the shoulder
    right_side = [
        (0.92 * neck, -16), (neck, -6), (neck + 0.8, -4.2), (neck + 3, -3.0), (0.8 * tip, -1.9), (tip, 0.0), (tip + 1.6, 3.5),
        (wall + 1.2, 7.5), (wall, 11), (wall - 0.3, 16), (wall + 0.1 * fat, 22), (wall + 0.2 * fat, 40),
    ]  # fmt: skip
    trunk = _rounded(canvas, right_side, 8.5, depth / 2)
    # chest and belly are thicker than what their outline's roundness says
    trunk = trunk * (0.86 + 0.14 * np.clip(canvas.y / 8, 0, 1) + 0.16 * np.clip((canvas.y - 0.9 * person.height) / 6, 0, 1))
    powers = np.square(np.square(trunk))
    for side in SIDES:
        start, end = (side * (tip - 1.2), 4.0), (side * (chest + 5.5 + pose.arms + 0.6 * fat), 34.0)
        radius = 4.2 + 0.3 * fat
        rows, columns = canvas.around([start, end], radius)
        arm = 1.9**2 * np.clip(radius**2 - np.square(_to_segment(canvas.x[:, columns], canvas.y[rows], start, end)), 0, None)
        powers[rows, columns] += np.square(arm)
    solid = np.sqrt(np.sqrt(powers))
    if person.breast:
        solid = solid + _breasts(canvas, person, rng) * np.clip(trunk, 0, 1)
    # the pectoral muscles, whose lower edge runs from the armpit inwards
    muscle = soft(canvas.y - 0.35 * np.abs(canvas.x) - 5.2, 3.0) * soft(np.abs(canvas.x) - chest - 1, 3) * soft(2 - np.abs(canvas.x), 3)
    solid = solid + (0.9 if person.female else 1.7) * muscle * soft(-canvas.y, 3)
    grain = 1 + 0.016 * noise(rng, canvas, 4) + 0.007 * noise(rng, canvas, 1.2)
    return (solid * grain).astype(np.float32)


def _rounded(canvas: Canvas, right_side: list[tuple[float, float]], radius: float, half_depth: float) -> Field:
    """Returns the thickness of a symmetric body with an outline, rounded off towards it within a radius."""
    half = canvas.pixels // 2  # the distances are smooth: half the pixels do
    pitch = canvas.side / half
    line = curve(right_side, 0.3)
    outline = np.concatenate([line, line[::-1] * [-1, 1]])
    stencil = Image.new("1", (half, half))
    ImageDraw.Draw(stencil).polygon(((outline - [-canvas.side / 2, canvas.top]) / pitch).ravel().tolist(), fill=1)
    # Beyond the picture's edge the body goes on, so that nothing there is nearer than what is not body inside.
    row, column = distance_transform_edt(stencil, return_distances=False, return_indices=True)
    line = np.arange(half, dtype=row.dtype)
    away = np.sqrt(np.square(row - line[:, None]) + np.square(column - line), dtype=np.float64).astype(np.float32)
    away = gaussian_filter(away, 2.0) * np.float32(pitch)
    thickness = 2 * half_depth * root(1 - (1 - np.minimum(away / radius, 1)) ** 2)
    return np.asarray(Image.fromarray(thickness).resize((canvas.pixels, canvas.pixels), Image.Resampling.BILINEAR))


def _to_segment(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Returns the distance of each pixel to a line between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx**2 + dy**2), 0, 1)
    return np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)


def _breasts(canvas: Canvas, person: Person, rng: np.random.Generator) -> Field:
    total = canvas.zeros()
    low = 0.70 * person.height + 0.5 * person.breast + rng.normal(0, 0.7)
    radius = 5.6 + 0.5 * person.breast
    for side in SIDES:
        at = side * (0.62 * person.chest + rng.normal(0, 0.3))
        rows, columns = canvas.rows(low - 1.7 * radius, low + 0.62 * radius), canvas.columns(at - radius, at + radius)
        y = canvas.y[rows] - low
        squeezed = np.where(y > 0, y / 0.62, y / 1.7)  # steep below, fading out above
        away = ((canvas.x[:, columns] - at) ** 2 + squeezed**2) / radius**2
        total[rows, columns] += person.breast * root(1 - away)
    return total


def mediastinum(canvas: Canvas, person: Person, pose: Pose) -> Field:
    """Returns the thickness of heart, great vessels and what else lies between the lungs; where a lung would be, it takes its place."""
    moved = 0.6 * pose.turn
    x, y = canvas.x - moved, canvas.y
    wider = pose.magnification * (1 + 0.35 * (1 - pose.breath))
    floor = person.height * pose.breath
    heart, knob = person.heart * wider, 0.215 * person.height
    spine = 6.0 * root(1 - (canvas.x / 2.3) ** 2)  # with the muscles beside it
    cubes = canvas.zeros()
    cubes += spine * spine * spine
    # cava and left subclavian artery: slightly hollow outlines
    reach = 2.35 * wider + 0.03 * (y - 6) ** 2 * (y < 6)
    columns = canvas.columns(moved - 0.2 - float(reach.max()), moved - 0.2 + float(reach.max()))
    upper = 7.5 * root(1 - ((x[:, columns] + 0.2) / reach) ** 2) * soft(y - floor, 3)
    cubes[:, columns] += upper * upper * upper
    cubes = cubes.astype(np.float64)
    for at, radii, angle, depth in (
        # left ventricle, right atrium, and above them the outflow, that fills the waist between heart and aorta
        ((0.36 * heart, floor - 0.34 * heart), (1.02 * heart, 0.78 * heart), 0.55, 0.85 * heart),
        ((-0.26 * heart, floor - 0.55 * heart), (0.50 * heart, 0.85 * heart), 0.05, 0.72 * heart),
        ((0.10 * heart, floor - 1.12 * heart), (0.46 * heart, 1.05 * heart), -0.22, 0.7 * heart),
        ((1.25 * wider, knob), (person.aorta * wider, 1.15 * person.aorta * wider), 0, 2.0 * person.aorta),
    ):
        box, part = _ellipsoid(canvas, at, radii, angle, depth, moved)
        cubes[box] += part * part * part
    middle = 1.0 + 0.5 * person.aorta - 0.5 * np.clip((y - knob) / 14, 0, 1)  # of the descending aorta
    columns = canvas.columns(moved + 0.5 - 0.5 * person.aorta, moved + 1.0 + 1.5 * person.aorta)
    descending = 2.2 * root(1 - ((x[:, columns] - middle) / (0.85 * person.aorta)) ** 2) * soft(knob - y, 1.0)
    cubes[:, columns] += descending * descending * descending
    solid = canvas.zeros()
    filled = np.flatnonzero(cubes)  # a third: cubic roots are slow
    solid.reshape(-1)[filled] = np.cbrt(cubes.reshape(-1)[filled])
    return solid


def _ellipsoid(
    canvas: Canvas, at: tuple[float, float], radii: tuple[float, float], angle: float, depth: float, moved: float = 0.0
) -> tuple[Box, Field]:
    """Returns an ellipsoid's thickness, and the box of the canvas that it fills; it is `moved` to the right."""
    cos, sin = np.cos(angle), np.sin(angle)
    wide, high = (float(np.hypot(*pair)) for pair in ((radii[0] * cos, radii[1] * sin), (radii[0] * sin, radii[1] * cos)))
    box = canvas.rows(at[1] - high, at[1] + high), canvas.columns(at[0] + moved - wide, at[0] + moved + wide)
    dx, dy = canvas.x[:, box[1]] - moved - at[0], canvas.y[box[0]] - at[1]
    along = (cos * dx + sin * dy) / radii[0]
    over = (cos * dy - sin * dx) / radii[1]
    return box, 2 * depth * root(1 - along**2 - over**2)


def airways(canvas: Canvas, person: Person, pose: Pose) -> Field:
    """Returns the thickness of the air in windpipe and main bronchi."""
    fork = 0.36 * person.height
    # nothing of it is farther out or down than the ends of the bronchi, and what is soft about these
    rows, columns = canvas.rows(canvas.top, fork + 8), canvas.columns(-10, 10)
    x, y = canvas.x[:, columns], canvas.y[rows]
    bend = 0.3 * pose.turn - 0.35 * np.exp(-(((y - 0.27 * person.height) / 3) ** 2))  # the aorta pushes it aside
    air = 1.8 * root(1 - ((x - bend) / 0.95) ** 2) * soft(y - fork, 0.6)
    for side, slope, length in ((-1, 1.1, 3.2), (1, 0.75, 4.6)):
        out = side * (x - bend)
        offset = (y - fork + 0.4 - slope * out) / np.hypot(1, slope)
        air = np.maximum(air, 1.6 * root(1 - (offset / 0.6) ** 2) * soft(-out, 0.3) * soft(out - length, 0.5))
    total = canvas.zeros()
    total[rows, columns] = air
    return total


def bowel_gas(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    """Returns the thickness of gas under the left diaphragm: the stomach's bubble, often, and a loop of colon, sometimes."""
    air = canvas.zeros()
    floor = person.height * pose.breath + LEFT_LOWER
    if rng.random() < 0.7:
        radii = rng.uniform(1.2, 3.4), rng.uniform(0.8, 2.0)
        at = 0.5 * person.chest + rng.normal(0, 0.8), floor + 0.9 + radii[1]
        box, part = _ellipsoid(canvas, at, radii, rng.normal(0, 0.15), 0.45 * radii[0])
        air[box] += part
    for _ in range(rng.poisson(0.8)):
        radii = rng.uniform(0.8, 2.0), rng.uniform(0.6, 1.2)
        at = rng.uniform(-0.2, 0.9) * person.chest, floor + rng.uniform(4, 9)
        box, part = _ellipsoid(canvas, at, radii, rng.uniform(-0.6, 0.6), 0.6)
        air[box] += part * (1 + 0.3 * noise(rng, canvas, 0.8, box))
    return np.clip(air, 0, None)

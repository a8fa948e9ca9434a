"""Bones, as thicknesses of compact bone along the beam (cm)."""

from __future__ import annotations

import numpy as np

from cxr.data.demo.fields import FADED, SIDES, Canvas, Field, Spots, root, soft
from cxr.data.demo.person import AP, Person, Pose
from cxr.data.demo.thorax import chest_wall

PAIRS = 12  # of ribs
BLADE_EDGE = 0.25  # cm


def _shell(distance: Field, radius: float | Field, cortex: float, inside: float) -> Field:
    """Returns the thickness of a long bone at a distance from its axis: a compact tube of that wall around spongy bone."""
    outer = root(radius**2 - distance**2)
    inner = root(np.maximum(radius - cortex, 0) ** 2 - distance**2)
    return 2 * (outer - inner) + 2 * inside * inner


def ribs(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    """Returns the ribs of both sides.

    A rib is a ring that leans forwards; seen from the front it is an ellipse. Its hind half runs nearly level, its front half returns to
    the middle lower down and ends in cartilage.
    """
    total = canvas.zeros()
    for side in SIDES:
        for pair in range(PAIRS):
            _rib(total, canvas, person, pose, side, pair, rng)
    return total


def _rib(total: Field, canvas: Canvas, person: Person, pose: Pose, side: int, pair: int, rng: np.random.Generator) -> None:
    high = 0.6 + person.ribs * pair + rng.normal(0, 0.06)  # y of the rib's head
    drop = person.drop * min(1.0, 0.42 + 0.22 * pair) * (1 + 0.02 * pair)
    middle = high + drop / 2
    reach = float(chest_wall(np.array(middle - 0.5), person)) + 0.35
    reach = min(reach, 5.6 + 3.0 * pair) * (1 - 0.03 * max(0, pair - 8)) * (1 + 0.02 * side * pose.turn)
    rows = canvas.rows(high - 2, high + drop + 3)
    columns = canvas.columns(0, reach + 2) if side > 0 else canvas.columns(-reach - 2, 0)
    x, y = side * canvas.x[0, columns], canvas.y[rows]
    half = drop / 2
    lean = 0.10 + 0.012 * pair  # the outer end hangs lower
    v: Field = (y - middle - lean * (x - reach / 2)) / half
    u = np.maximum(x / reach, 1e-3)
    ring = u**2.6 + v**2 - 1
    outwards = 2.6 * u**1.6 / reach
    wide = 0.68 if pair else 0.80
    # The fifth of the pixels that can be nearer to the axis than the radius, which is at most this: nowhere does the ring slope more
    # than the sum of its slopes outwards and along v.
    most = 1.11 * wide
    spots = Spots.where(np.abs(ring) - most * 2 * float(np.hypot(lean, 1)) / half * np.abs(v) < most * (outwards + 0.05))
    v, ring = spots.of(v), spots.of(ring)
    slope = np.hypot(outwards[spots.column] - 2 * v * lean / half, 2 * v / half)
    distance = ring / np.maximum(slope, 0.05)
    front = soft(-v, 0.5)
    radius = wide * (1 + 0.10 * front)
    thick = 0.62 * _shell(distance, radius, 0.13, 0.16)
    # a rib that runs along the beam, at the chest wall, is seen through its length
    turning = root(1 - v**2)
    inplane = np.hypot(reach * v, half * turning)
    thick *= np.minimum(np.hypot(inplane, 0.42 * person.depth * turning) / np.maximum(inplane, 0.1), 2.2)
    ends = 2.0 + 0.55 * person.chest * (0.75 if pair < 6 else 0.9)
    cartilage = 1 - front * soft(x - ends - 0.5 * pose.turn * side, 1.2)[spots.column]
    start = soft(1.9 - x + 0.3 * pose.turn * side, 0.8)[spots.column]
    shown = 1.0 if pair < 10 else 1 - front * 0.9  # floating ribs have no front half
    spots.add(total, (rows, columns), thick * cartilage * start * shown * (1 - 0.25 * front))


def collar_bones(canvas: Canvas, person: Person, pose: Pose) -> Field:
    """Returns both clavicles; in AP they lie higher and more level."""
    total = canvas.zeros()
    bed = pose.view == AP
    for side in SIDES:
        out = side * canvas.x - 0.9 * pose.turn * side
        share = np.clip((out - 1.9) / (person.chest + 1.0), 0, 1)
        head, tip = (1.8, -1.5) if bed else (4.0, -0.3)
        line = head + (tip - head) * share + 0.9 * np.sin(2 * np.pi * share) * (0.6 if bed else 1.0)
        slope = np.gradient(line, axis=1) / canvas.pitch
        radius = 0.60 + 0.25 * np.exp(-(((share - 0.02) / 0.10) ** 2)) + 0.10 * share
        reach = float((radius * np.hypot(1, slope)).max())
        rows = canvas.rows(float(line.min()) - reach, float(line.max()) + reach)
        distance = (canvas.y[rows] - line) / np.hypot(1, slope)
        total[rows] += 0.85 * _shell(distance, radius, 0.17, 0.22) * soft(1.9 - out, 0.3) * soft(out - person.chest - 3.0, 0.5)
    return total


def shoulder_blades(canvas: Canvas, person: Person, pose: Pose, rng: np.random.Generator) -> Field:
    """Returns both scapulae with the heads of the upper arms; in AP their blades lie over the lungs."""
    total = canvas.zeros()
    for side in SIDES:
        inner = person.chest * (rng.uniform(0.62, 0.76) if pose.view == AP else rng.uniform(0.86, 1.0))
        joint = np.array([person.chest + 2.3 + rng.normal(0, 0.3), 2.6 + rng.normal(0, 0.3)])
        top = np.array([inner + 0.6, 1.2])
        tip = np.array([inner + 2.2, 13.2 + rng.normal(0, 0.6)])
        rows, columns = box = slice(0, canvas.pixels), canvas.columns(*sorted((0.0, side * canvas.side)))
        x, y = side * canvas.x[:, columns], canvas.y[rows]
        edges = [(top, tip), (tip, joint), (joint, top)]
        ways = [map(float, (b - a) / np.hypot(*(b - a))) for a, b in edges]
        beyond = [(y - a[1]) * dx - (x - a[0]) * dy for (a, _), (dx, dy) in zip(edges, ways, strict=True)]
        spots = Spots.where(np.maximum(np.maximum(beyond[0], beyond[1]), beyond[2]) < FADED * BLADE_EDGE)
        inside = [soft(spots.of(distance), BLADE_EDGE) for distance in beyond]
        spots.add(total, box, 0.16 * (inside[0] * inside[1] * inside[2]))
        for (a, b), radius in zip(edges, (0.28, 0.5, 0.22), strict=True):
            _bone(total, canvas, side, a, b, radius, 0.14, 0.2, 0.5, bend=0.35)
        spine_start, acromion = np.array([inner + 0.9, 3.4]), np.array([person.chest + 3.6, -0.4])
        _bone(total, canvas, side, spine_start, acromion, 0.42, 0.14, 0.12, 0.55)
        head = joint + np.array([2.5, 0.3])
        elbow = np.array([person.chest + 5 + pose.arms + 0.5 * person.fat, 30.0])
        _bone(total, canvas, side, head, head + 0.02, 2.3, 0.10, 0.10, 0.7)
        _bone(total, canvas, side, head + np.array([0.5, 0.8]), elbow, 1.15, 0.32, 0.05, 0.9)
    return total


def _bone(
    total: Field, canvas: Canvas, side: int, start: np.ndarray, end: np.ndarray, radius: float, cortex: float, inside: float, share: float,
    bend: float = 0.0,
) -> None:  # fmt: skip
    """Adds a share of a long bone between two points of one side."""
    (x0, y0), (x1, y1) = (tuple(map(float, point)) for point in (start, end))
    reach = radius + abs(bend)
    rows = canvas.rows(min(y0, y1) - reach, max(y0, y1) + reach)
    columns = canvas.columns(*sorted((side * (min(x0, x1) - reach), side * (max(x0, x1) + reach))))
    x, y = side * canvas.x[0, columns] - x0, canvas.y[rows] - y0
    dx, dy = x1 - x0, y1 - y0
    length = float(np.hypot(dx, dy))
    beside: Field = (y * dx - x * dy) / length
    spots = Spots.where(np.abs(beside) < reach)
    x, y, beside = x[spots.column], y[spots.row, 0], spots.of(beside)
    along = (x * dx + y * dy) / length**2
    if bend:
        beside = beside + bend * np.sin(np.clip(along, 0, 1) * np.pi)
    thick = _shell(np.hypot((np.clip(along, 0, 1) - along) * length, beside), radius, cortex, inside)
    spots.add(total, (rows, columns), share * thick)


def spine(canvas: Canvas, person: Person, pose: Pose) -> Field:
    """Returns the vertebrae: bodies with discs between, pedicles, spinous processes."""
    columns = canvas.columns(-0.3 * pose.turn - 5.5, -0.3 * pose.turn + 5.5)  # the transverse processes, faded
    x, y = canvas.x[:, columns] + 0.3 * pose.turn, canvas.y
    pitch = person.ribs
    place = (y - 0.4) / pitch
    inside = np.abs(place - np.floor(place) - 0.5) * pitch  # cm from the vertebra's middle
    width = 1.45 + 0.022 * np.clip(y, 0, 40) + 0.18 * (inside / (0.5 * pitch)) ** 2
    bodies = soft(inside - 0.42 * pitch, 0.18) * root(1 - (np.abs(x) / width) ** 6)
    rims = soft(np.abs(inside - 0.41 * pitch) - 0.06, 0.16) * soft(np.abs(x) - width, 0.2)
    edge = soft(np.abs(np.abs(x) - width + 0.1) - 0.08, 0.2) * soft(inside - 0.42 * pitch, 0.2)
    eyes = np.hypot((np.abs(x) - 1.05) / 0.38, (inside - 0.12) / 0.55)
    pedicles = soft(np.abs(eyes - 1) - 0.2, 0.3)
    process = soft(np.abs(x) - 0.28, 0.2) * soft(np.abs(place - np.floor(place) - 0.75) * pitch - 0.5, 0.3)
    transverse = soft(np.abs(x) - 2.9, 0.5) * soft(np.abs(inside - 0.3) - 0.35, 0.3)
    total = canvas.zeros()
    total[:, columns] = 0.34 * bodies + 0.14 * rims + 0.13 * edge + 0.13 * pedicles + 0.20 * process + 0.10 * transverse
    return total


def breast_bone(canvas: Canvas, person: Person, pose: Pose) -> Field:
    """Returns the sternum, seen faintly before the spine."""
    x, y = canvas.x - 0.9 * pose.turn, canvas.y - 2.4
    width = 1.5 + 1.1 * np.exp(-((y / 2.5) ** 2)) + 0.25 * np.cos(y / 3 * 2 * np.pi)
    length = 0.72 * person.height
    return (0.22 * soft(np.abs(x) - width, 0.3) * soft(-y, 0.4) * soft(y - length, 0.8)).astype(np.float32)

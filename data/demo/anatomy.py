"""A schematic chest in front of a detector: what every synthetic radiograph shows, healthy or not.

Lengths are shares of the picture's side; x runs to the right, y down, (0.5, 0.5) is the centre. Values are rough attenuations:
air 0, dense bone 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = (-1, 1)  # of the picture: left and right of the midline
MIDDLE, CONTRAST = 0.35, 0.75  # flattens the healthy chest: its outlines must not drown what tells the classes apart


@dataclass(frozen=True)
class Anatomy:
    """One person's build."""

    width: float  # half the chest's
    lung_height: float
    lung_width: float
    apex: float  # y of the lungs' upper ends
    rib_gap: float
    rib_slope: float
    heart: float
    fat: float  # thickness of the soft tissue
    breast: float  # attenuation of what overlies the lower lungs

    @classmethod
    def draw(cls, rng: np.random.Generator, female: bool) -> Anatomy:
        """Draws a person."""
        return cls(
            width=rng.uniform(0.46, 0.52),
            lung_height=rng.uniform(0.66, 0.74),
            lung_width=rng.uniform(0.175, 0.20),
            apex=rng.uniform(0.07, 0.12),
            rib_gap=rng.uniform(0.078, 0.092),
            rib_slope=rng.uniform(0.25, 0.60),
            heart=rng.uniform(0.10, 0.15),
            fat=rng.uniform(0.10, 0.30),
            breast=rng.uniform(0.02, 0.14) if female else rng.uniform(0.0, 0.03),
        )


@dataclass(frozen=True)
class Pose:
    """How the person stands before the detector, in one picture."""

    rotation: float  # radians
    shift: tuple[float, float]
    scale: float
    turn: float  # about the body's long axis: one lung looks narrower
    breath: float  # 1: full; less: the diaphragm stands higher

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Pose:
        """Draws a pose."""
        return cls(
            rotation=rng.normal(0, 0.04),
            shift=(rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04)),
            scale=rng.uniform(0.95, 1.08),
            turn=rng.uniform(-0.12, 0.12),
            breath=rng.uniform(0.90, 1.0),
        )


def coordinates(size: int, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Returns x and y in the body's frame for each pixel, float [size, size] both."""
    line = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(line - pose.shift[0], line - pose.shift[1])
    cos, sin = np.cos(pose.rotation), np.sin(pose.rotation)
    return (cos * x + sin * y) / pose.scale + 0.5, (cos * y - sin * x) / pose.scale + 0.5


def noise(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Returns smooth noise of mean 0 and deviation 1 whose structures are about `grain` (share of the side) wide."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    # A Gaussian filter by its transform: as fast for wide structures as for narrow ones.
    shape = np.exp(-2 * (np.pi * grain * size / 2 * frequency) ** 2)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * shape, s=(size, size))
    return (field - field.mean()) / field.std()


def soft(distance: np.ndarray, edge: float) -> np.ndarray:
    """Returns 1 where distance is below 0, 0 above, and a soft edge of that width between."""
    return 1 / (1 + np.exp(np.clip(distance / edge * 4, -40, 40)))


def lung(x: np.ndarray, y: np.ndarray, anatomy: Anatomy, pose: Pose, side: int) -> np.ndarray:
    """Returns a mask, 0 to 1, of the lung on that side of the picture."""
    width = anatomy.lung_width * (1 + side * pose.turn)
    height = anatomy.lung_height * pose.breath
    base = anatomy.apex + height + (0.02 if side > 0 else 0.0)  # the liver lifts the right dome, which is on the picture's left
    middle = 0.5 + side * (0.045 + width)
    down = np.clip((y - anatomy.apex) / height, 0, 1.2)
    half = width * np.sqrt(np.clip(down * 2.2, 0, 1))  # narrow at the apex
    across = np.abs(x - middle - side * 0.03 * (down - 0.5)) - half
    dome = base - 0.06 * np.cos(np.clip((x - middle) / width, -1.6, 1.6) * np.pi / 2) - y  # negative below the diaphragm
    return soft(across, 0.02) * soft(anatomy.apex - y, 0.02) * soft(-dome, 0.015)


def ribs(x: np.ndarray, y: np.ndarray, anatomy: Anatomy, side: int) -> np.ndarray:
    """Returns the attenuation of the ribs on one side: hind parts steep, front parts shallow and faint."""
    out = side * (x - 0.5)  # distance from the midline
    inside = soft(-out + 0.03, 0.02) * soft(out - anatomy.width, 0.03)
    total = np.zeros_like(x)
    for k in range(10):
        start = anatomy.apex - 0.05 + k * anatomy.rib_gap
        hind = start + anatomy.rib_slope * out * (1 - out / anatomy.width * 0.55) * 0.7
        front = start + 0.10 - anatomy.rib_slope * 0.45 * (anatomy.width - out)
        total += np.exp(-(((y - hind) / 0.011) ** 2)) + 0.45 * np.exp(-(((y - front) / 0.012) ** 2)) * (out > 0.10)
    return total * inside


def clavicle(x: np.ndarray, y: np.ndarray, anatomy: Anatomy, side: int) -> np.ndarray:
    """Returns the attenuation of one collar bone."""
    out = side * (x - 0.5)
    line = anatomy.apex + 0.05 - 0.16 * out + 0.012 * np.sin(out * 18)
    return np.exp(-(((y - line) / 0.014) ** 2)) * soft(-out + 0.04, 0.02) * soft(out - anatomy.width * 0.85, 0.03)


def chest(x: np.ndarray, y: np.ndarray, anatomy: Anatomy, lungs: np.ndarray, rng: np.random.Generator, front: bool) -> np.ndarray:
    """Returns the attenuation of a healthy chest, float [size, size].

    Args:
      x: Body coordinates of the pixels.
      y: As x.
      anatomy: The person.
      lungs: Mask of both lungs, 0 to 1.
      rng: For vessels and soft tissue.
      front: AP: the heart, further from the detector, looks larger.
    """
    size = len(x)
    shoulders = anatomy.width * (0.55 + 0.45 * np.clip((y - 0.02) / 0.16, 0, 1))
    body = soft(np.abs(x - 0.5) - shoulders, 0.03)
    tissue = body * (0.62 + anatomy.fat * (np.abs(x - 0.5) / anatomy.width) ** 2)
    heart_size = anatomy.heart * (1.18 if front else 1.0)
    heart_y = anatomy.apex + anatomy.lung_height * 0.80
    tilt = (x - 0.535) + 0.35 * (y - heart_y)
    heart = soft(np.hypot(tilt / 1.12, y - heart_y) - heart_size, 0.03)
    middle = soft(np.abs(x - 0.5) - 0.055 - 0.02 * np.clip(y - 0.5, 0, 1), 0.025)
    spine = soft(np.abs(x - 0.5) - 0.028, 0.012) * (0.75 + 0.25 * np.cos(y / 0.032 * 2 * np.pi))
    bones = sum(ribs(x, y, anatomy, side) + 1.3 * clavicle(x, y, anatomy, side) for side in SIDES)
    hilum = sum(np.exp(-(((x - 0.5 - side * 0.09) / 0.08) ** 2 + ((y - 0.45) / 0.13) ** 2)) for side in SIDES)
    vessels = np.clip(noise(rng, size, 0.022), 0, None) * hilum
    breasts = sum(soft(np.hypot((x - 0.5 - side * 0.2) / 1.1, y - 0.66) - 0.13, 0.04) for side in SIDES)
    attenuation = tissue - 0.46 * lungs * body
    attenuation += np.maximum(heart * 0.34, middle * 0.36) * (0.35 + 0.65 * lungs)
    attenuation += 0.08 * spine * body + 0.075 * bones * body + (0.09 * vessels + 0.05 * hilum) * lungs + anatomy.breast * breasts * body
    attenuation += 0.03 * noise(rng, size, 0.25) * body
    return MIDDLE + CONTRAST * (attenuation - MIDDLE)

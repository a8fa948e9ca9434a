"""What happens to radiographs on their way from one collection to another; duplicates.py and the tests look for them afterwards."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # uint8 [height, width], at random where it may be


def _jpeg(grey: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def _scaled(grey: np.ndarray, factor: float) -> np.ndarray:
    height, width = (max(16, round(side * factor)) for side in grey.shape)
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.LANCZOS))


def _levels(grey: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.clip(np.rint(255 * change(grey / 255)), 0, 255).astype(np.uint8)


def _cropped(grey: np.ndarray, left: float, right: float, top: float, bottom: float) -> np.ndarray:
    height, width = grey.shape
    return grey[round(top * height) : height - round(bottom * height), round(left * width) : width - round(right * width)]


def _framed(grey: np.ndarray, share: float, level: int, sides: bool = True) -> np.ndarray:
    height, width = grey.shape
    return np.pad(grey, (2 * [round(share * height)], 2 * [round(share * width) if sides else 0]), constant_values=level)


def _lettered(grey: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(grey)
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    draw.rectangle((0.80 * width, 0.08 * height, 0.92 * width, 0.16 * height), fill=255)
    draw.rectangle((0.05 * width, 0.05 * height, 0.15 * width, 0.13 * height), fill=0)
    draw.text((0.35 * width, 0.90 * height), "PORTABLE AP 12:30", fill=255, font_size=max(8, height // 20))
    draw.text((0.05 * width, 0.30 * height), "L", fill=255, font_size=max(10, height // 10))
    return np.asarray(picture)


def _together(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gamma = float(rng.uniform(0.7, 1.4))
    return _jpeg(_lettered(_scaled(_levels(_cropped(grey, *rng.uniform(0, 0.05, 4)), lambda x: x**gamma), 0.6)), 60)


CHANGES: dict[str, Change] = {
    "half the size": lambda grey, rng: _scaled(grey, 0.5),
    "JPEG, quality 30": lambda grey, rng: _jpeg(grey, 30),
    "half the size, JPEG 30": lambda grey, rng: _jpeg(_scaled(grey, 0.5), 30),
    "15 % brighter": lambda grey, rng: _levels(grey, lambda x: x + 0.15),
    "15 % darker": lambda grey, rng: _levels(grey, lambda x: x - 0.15),
    "contrast times 1.4": lambda grey, rng: _levels(grey, lambda x: 1.4 * (x - 0.5) + 0.5),
    "gamma 0.5": lambda grey, rng: _levels(grey, lambda x: x**0.5),
    "gamma 2": lambda grey, rng: _levels(grey, lambda x: x**2),
    "5 % cut off everywhere": lambda grey, rng: _cropped(grey, 0.05, 0.05, 0.05, 0.05),
    "10 % cut off everywhere": lambda grey, rng: _cropped(grey, 0.1, 0.1, 0.1, 0.1),
    "10 % cut off left": lambda grey, rng: _cropped(grey, 0.1, 0, 0, 0),
    "10 % cut off at the top": lambda grey, rng: _cropped(grey, 0, 0, 0.1, 0),
    "10 % cut off at the bottom": lambda grey, rng: _cropped(grey, 0, 0, 0, 0.1),
    "0 to 10 % cut off each side": lambda grey, rng: _cropped(grey, *rng.uniform(0, 0.1, 4)),
    "black frame, 5 %": lambda grey, rng: _framed(grey, 0.05, 0),
    "white frame, 10 %": lambda grey, rng: _framed(grey, 0.1, 255),
    "bars above and below, 20 %": lambda grey, rng: _framed(grey, 0.2, 0, sides=False),
    "letters and patches": lambda grey, rng: _lettered(grey),
    "mirrored": lambda grey, rng: grey[:, ::-1],
    "inverted": lambda grey, rng: 255 - grey,
    "turned by a quarter": lambda grey, rng: np.rot90(grey),
    "turned by a half": lambda grey, rng: np.rot90(grey, 2),
    "upside down": lambda grey, rng: grey[::-1],
    "inverted, half the size, JPEG 60": lambda grey, rng: _jpeg(_scaled(255 - grey, 0.5), 60),
    "turned to the left, half the size, JPEG 60": lambda grey, rng: _jpeg(_scaled(np.rot90(grey), 0.5), 60),
    "inverted, 2.5 % cut off everywhere": lambda grey, rng: _cropped(255 - grey, 0.025, 0.025, 0.025, 0.025),
    "crop, gamma, size, letters, JPEG": _together,
}

"""Who stands before the detector, and how. Lengths are in cm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AP, PA = "AP", "PA"


@dataclass(frozen=True)
class Person:
    """One person's build.

    Attributes:
      female: Has breasts; the chest is narrower.
      chest: Half the width of the rib cage, inside.
      height: Of the right lung at full inspiration.
      depth: Of the body, front to back.
      fat: Thickness of what lies over the ribs.
      breast: Thickness; 0 for men.
      heart: Half the heart's width.
      ribs: Distance of neighbouring ribs.
      drop: How much lower a rib's front end is than its head.
      aorta: Radius of the aortic knob.
      bone: Density of the bones; 1 is usual.
      seed: Decides what has no number of its own: vessels, and where a disease is.
    """

    female: bool
    chest: float
    height: float
    depth: float
    fat: float
    breast: float
    heart: float
    ribs: float
    drop: float
    aorta: float
    bone: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, female: bool, age: float = 50) -> Person:
        """Draws a person; some are thin and some obese, and with age the aorta widens and the bones lose calcium."""
        obesity = float(rng.beta(1.6, 3.0))  # most are of normal weight
        height = rng.normal(22.6 if female else 24.4, 1.3)
        return cls(
            female=female,
            chest=float(np.clip(rng.normal(12.4 if female else 13.6, 0.6), 11, 15.2)),
            height=float(np.clip(height, 19.5, 27.5)),
            depth=float(rng.normal(18.0, 1.0) + 9.0 * obesity),
            fat=0.7 + 4.5 * obesity**1.3,
            breast=float(rng.uniform(0.8, 2.2) + 3.5 * obesity * rng.uniform(0.4, 1)) if female else 0.0,
            heart=float(rng.normal(6.1, 0.45)),
            ribs=float(height / 10.2 * rng.uniform(0.95, 1.05)),
            drop=float(rng.uniform(8.0, 11.5)),
            aorta=float(np.clip(rng.normal(1.45 + 0.008 * age, 0.2), 1.2, 2.6)),
            bone=float(np.clip(rng.normal(1.15 - 0.004 * (age - 30), 0.12), 0.6, 1.4)),
            seed=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class Pose:
    """How the person stands or lies, in one picture.

    Attributes:
      view: AP (in bed: heart magnified, shoulder blades over the lungs, collar bones high) or PA.
      breath: 1: full inspiration; less: the diaphragm stands higher.
      turn: cm by which what lies in front is shifted against what lies behind.
      tilt: Radians, in the picture's plane.
      shift: cm, of the picture's centre, right and down.
      side: cm of the body that the picture shows.
      arms: cm that the upper arms stand off.
    """

    view: str
    breath: float
    turn: float
    tilt: float
    shift: tuple[float, float]
    side: float
    arms: float

    @classmethod
    def draw(cls, rng: np.random.Generator, view: str) -> Pose:
        """Draws a pose; pictures taken in bed are less well aligned."""
        bed = view == AP
        return cls(
            view=view,
            breath=float(np.clip(1 - abs(rng.normal(0, 0.08 if bed else 0.04)), 0.76, 1)),
            turn=float(rng.normal(0, 0.9 if bed else 0.4)),
            tilt=float(rng.normal(0, 0.04 if bed else 0.02)),
            shift=(float(rng.normal(0, 1.4 if bed else 0.9)), float(rng.normal(0, 1.2))),
            side=float(np.clip(rng.normal(37.5, 2.8), 31, 44)),
            arms=float(rng.uniform(1.0, 6.0)),
        )

    @property
    def magnification(self) -> float:
        """Of what lies in front: in AP it is further from the detector."""
        return 1.13 if self.view == AP else 1.0

"""One synthetic radiograph: what the beam meets on its way through a chest, and what a detector makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxr.core.features import COVID19, NORMAL, PNEUMONIA
from cxr.data.demo import exposure, findings, skeleton, thorax, vessels
from cxr.data.demo.devices import devices
from cxr.data.demo.fields import Canvas, Field, shrunk
from cxr.data.demo.lettering import lettered
from cxr.data.demo.person import PA, Person, Pose

TISSUE, BONE = 0.185, 0.50  # attenuation per cm, at the beam energies of chest radiography
LUNG_DENSITY = 0.26  # of an aerated lung beside soft tissue
VESSELS = 1.2  # contrast of the lungs' vessels beside what their thickness gives: the trees here have fewer than lungs have
MARGIN = 1.15  # of the canvas beside the picture: a tilted body must fill it
TOP = 0.115  # share of the picture above the lungs
FEWEST = 192  # pixels of the canvas: smaller pictures are scaled down from it, as thin bones would vanish
MASK_SIGMA = 0.5  # cm: small gaps in a disease belong to it
VISIBLE = 0.16  # attenuation that a finding adds where the mask is set; a rib adds 0.2 to 0.4


@dataclass(frozen=True)
class Radiograph:
    """A picture, and what is known of it.

    Attributes:
      image: uint8 [size, size].
      mask: Where the disease shows, bool [size, size]; nowhere in a normal picture.
      label: One of features.CLASS_NAMES.
      severity: 0 (none, or hardly to be seen) to 1.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    label: str
    severity: float


def draw(seed: int, label: str, size: int = 512, severity: float = 0.6, view: str = PA) -> Radiograph:
    """Draws a picture of a person of its own; the same arguments, the same picture.

    Args:
      seed: Decides person, pose, disease's place, devices and exposure.
      label: One of features.CLASS_NAMES.
      size: Height and width, pixels.
      severity: 0 to 1; of `normal`, nothing.
      view: "AP" or "PA".
    """
    rng = np.random.default_rng(seed)
    person = Person.draw(rng, female=bool(rng.integers(2)), age=float(rng.uniform(25, 85)))
    return render(label, person, severity, view, size, rng)


def render(label: str, person: Person, severity: float, view: str, size: int, rng: np.random.Generator) -> Radiograph:
    """Draws one picture of a person.

    Args:
      label: One of features.CLASS_NAMES.
      person: Where the disease is belongs to the person: it is in the same place in each picture.
      severity: 0 to 1.
      view: "AP" or "PA".
      size: Height and width, pixels.
      rng: Decides pose, devices, exposure and noise; none of them looks at the label.
    """
    pose = Pose.draw(rng, view)
    times = max(1, -(-FEWEST // size))
    canvas = canvas_around(pose, size * times)
    attenuation, finding = _through(canvas, label, person, severity, pose, rng)
    pitch = pose.side / size / times
    scatter = rng.uniform(0.25, 0.9)
    beam = placed(attenuation, canvas, pose, size * times)
    seen = shrunk(exposure.scattered(beam, pitch, scatter), times)
    grey = exposure.collimated(exposure.displayed(seen, pitch * times, rng), rng)
    pixels = np.clip(np.rint(255 * grey), 0, 255).astype(np.uint8)
    image = lettered(pixels, view, rng)
    if label == NORMAL:
        return Radiograph(image, np.zeros((size, size), bool), label, 0.0)
    added = placed(finding, canvas, pose, size * times)
    mask = shrunk(gaussian_filter(added, MASK_SIGMA / pitch, truncate=2.5), times) > VISIBLE
    return Radiograph(image, mask, label, severity)


def _through(canvas: Canvas, label: str, person: Person, severity: float, pose: Pose, rng: np.random.Generator) -> tuple[Field, Field]:
    """Returns the attenuation of everything, and what of it the disease adds."""
    lungs = thorax.lungs(canvas, person, pose)
    free = np.clip(lungs.thickness - thorax.mediastinum(canvas, person, pose), 0, None)  # heart and great vessels take the lungs' place
    points, radii = vessels.trees(person, pose)
    blood = np.minimum(VESSELS * vessels.vessels(canvas, person, pose, points, radii), 3.0)
    blood = blood * np.clip(lungs.thickness / 3, 0, 1) * np.clip(free / 2, 0, 1)
    emptiness = (1 - LUNG_DENSITY) * np.clip(free - blood, 0, None)  # cm of soft tissue that the lungs have less
    disease = canvas.zeros()
    places = np.random.default_rng([person.seed, 9])
    if label == COVID19:
        disease = emptiness * findings.ground_glass(canvas, lungs, severity, places)
    elif label == PNEUMONIA:
        filled = findings.consolidation(canvas, lungs, severity, places)
        # bronchi hold air where the lung around them does not
        air = np.minimum(vessels.bronchi(canvas, points, radii), 0.9)
        disease = emptiness * filled - air * np.clip(free / 3, 0, 1) * np.clip(filled - 0.3, 0, 1)
    solid = thorax.body(canvas, person, pose, rng)
    tissue = solid - emptiness + disease - thorax.airways(canvas, person, pose) - thorax.bowel_gas(canvas, person, pose, rng)
    bones = (
        skeleton.ribs(canvas, person, pose, rng)
        + skeleton.collar_bones(canvas, person, pose)
        + skeleton.shoulder_blades(canvas, person, pose, rng)
        + skeleton.spine(canvas, person, pose)
        + skeleton.breast_bone(canvas, person, pose)
    )
    metal = devices(canvas, person, pose, rng)
    total = TISSUE * np.clip(tissue, 0, None) + BONE * (person.bone * bones * (solid > 0.5) + metal)
    return total.astype(np.float32), (TISSUE * disease).astype(np.float32)


def canvas_around(pose: Pose, pixels: int) -> Canvas:
    """Returns the canvas for a picture of so many pixels a side."""
    return Canvas(round(pixels * MARGIN), pose.side * MARGIN, -pose.side * (TOP + (MARGIN - 1) / 2))


def placed(field: Field, canvas: Canvas, pose: Pose, pixels: int) -> Field:
    """Returns the piece of the canvas that the picture shows, tilted and shifted as the person is, float32 [pixels, pixels]."""
    cos, sin = np.cos(pose.tilt), np.sin(pose.tilt)
    centre, half = canvas.pixels / 2, pixels / 2
    right, down = (value / canvas.pitch for value in pose.shift)
    terms = (
        cos, sin, centre - right - cos * half - sin * half,
        -sin, cos, centre - down + sin * half - cos * half,
    )  # fmt: skip
    return np.asarray(Image.fromarray(field).transform((pixels, pixels), Image.Transform.AFFINE, terms, Image.Resampling.BILINEAR))

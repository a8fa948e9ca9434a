"""Grad-CAM overlays of image files, with the answers they explain."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from matplotlib import colormaps
from PIL import Image

from cxr.core.errors import CxrError, UsageError
from cxr.data.images.reader import MAX_SIDE, check_rules, encode, read_image
from cxr.trainer import artifact
from cxr.trainer.explain.gradcam import GradCam, backbones_of
from cxr.trainer.models.keras_files import load_model
from cxr.trainer.preprocessing import decode_and_resize
from cxr.trainer.transform_graph import WHOLE, TransformGraph

TABLE = "explanations.csv"
COLOURS = "turbo"  # of the heat, from 0 (blue) to 1 (red)
OPACITY = 0.6  # of the hottest region; what is cold shows the radiograph alone


@dataclass(frozen=True)
class Explanation:
    """One overlay and what it explains; a row of the table."""

    image: str
    model: str  # a member, or the model itself
    explained: str  # class
    predicted: str  # class, by the member
    probability: float  # of the explained class, by the member
    empty: bool  # no region speaks for the class: the overlay shows the bare radiograph
    overlay: str  # file name in the output folder


class Explainer:
    """A loaded model that explains images one at a time, in bounded memory."""

    def __init__(self, source: str) -> None:
        """Loads a model.

        Args:
          source: URI of a Model artifact, or a .keras file.

        Raises:
          CxrError: No such model, or one that was trained on images read otherwise than this release reads them.
        """
        self._model = load_model(source)
        info = read_info(source)
        if info:
            check_rules(info.reading_rules, source)
        self.class_names = info.class_names if info else tuple(str(i) for i in range(self._model.output_shape[-1]))
        self._max_side = (info.max_side or None) if info else MAX_SIDE
        name = info.name if info else Path(source).stem
        kept = artifact.transform_path(_artifact_of(source))
        self._transform = TransformGraph(kept, self.class_names) if tf.io.gfile.exists(kept) else None
        self._parts = {part_name: (part, GradCam(part)) for part_name, part in backbones_of(self._model, name).items()}

    def explain(self, file: Path, out: Path, class_name: str | None = None) -> Iterator[Explanation]:
        """Writes one overlay per backbone into an existing folder.

        Args:
          file: PNG, JPEG, BMP, TIFF or DICOM.
          out: Folder.
          class_name: Which class to explain; None: the one that the whole model predicts.

        Raises:
          CxrError: Not an image that can be read.
          UsageError: No such class.
        """
        wanted = self.index_of(class_name) if class_name is not None else None
        grey = read_image(file, max_side=self._max_side)
        # Through the same bytes and the same graph as a served request.
        encoded = tf.constant([encode(grey)])
        images, seen = self._read(encoded)
        index = int(np.argmax(self._model(images, training=False)[0])) if wanted is None else wanted
        explained = self.class_names[index]
        for name, (part, cam) in self._parts.items():
            probabilities = np.asarray(part(images, training=False))[0]
            probability = float(probabilities[index])
            path = _free(out, f"{file.stem}_{name}_{explained}_{probability:.2f}")
            heat = cam(images, index)[0]
            overlay(grey.array, heat, seen).save(path)
            predicted = self.class_names[int(probabilities.argmax())]
            yield Explanation(str(file), name, explained, predicted, round(probability, 4), not heat.any(), path.name)

    def _read(self, encoded: tf.Tensor) -> tuple[tf.Tensor, Sequence[float]]:
        """Puts an image, string [1], through the graph kept beside the model, or what version 0.2 always did; and what is seen of it."""
        if self._transform:
            return self._transform.images(encoded), self._transform.seen_boxes(encoded)[0].numpy().tolist()
        return tf.repeat(decode_and_resize(encoded, self._model.input_shape[1]), 3, axis=3), WHOLE

    def index_of(self, class_name: str) -> int:
        """Returns the position of a class.

        Raises:
          UsageError: The model has no such class.
        """
        return index_of(class_name, self.class_names)


def overlay(grey: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32], seen: Sequence[float] = WHOLE) -> Image.Image:
    """Lays a heat map over a radiograph.

    Args:
      grey: uint8 [height, width].
      heat: float32 [rows, columns] in [0, 1].
      seen: What the model saw: top, left, bottom, right, shares of height and width.

    Returns:
      RGB, of the radiograph's size.
    """
    height, width = grey.shape
    top, left, bottom, right = (round(share * side) for share, side in zip(seen, (height, width) * 2, strict=True))
    large = np.zeros(grey.shape, np.float32)
    inner = large[top:bottom, left:right]
    fitted = Image.fromarray(heat.astype(np.float32)).resize(inner.shape[::-1], Image.Resampling.BICUBIC)
    inner[:] = np.asarray(fitted).clip(0, 1)
    colours = colormaps[COLOURS](large)[..., :3] * 255
    opacity = OPACITY * large[..., np.newaxis]
    return Image.fromarray((grey[..., np.newaxis] * (1 - opacity) + colours * opacity).round().astype(np.uint8))


def write_table(out: Path, explanations: Iterable[Explanation]) -> Path:
    """Writes one CSV row per overlay, and returns the file."""
    with open(out / TABLE, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Explanation)])
        writer.writeheader()
        writer.writerows(asdict(explanation) for explanation in explanations)
    return out / TABLE


def read_info(source: str) -> artifact.ModelInfo | None:
    """Returns the description beside a model; None for a Keras file by itself, whose classes are then shown by number.

    Args:
      source: URI of a Model artifact, or a .keras file.
    """
    try:
        return artifact.read_info(_artifact_of(source))
    except CxrError:
        return None


def _artifact_of(source: str) -> str:
    return str(Path(source).parent.parent) if source.endswith(".keras") else source


def index_of(class_name: str, class_names: Sequence[str]) -> int:
    """Returns the position of a class.

    Raises:
      UsageError: The model has no such class.
    """
    if class_name not in class_names:
        raise UsageError(f"--class {class_name}: the model knows {', '.join(class_names)}")
    return class_names.index(class_name)


def _free(out: Path, stem: str) -> Path:
    """A file that is not there yet: images of different folders may share their name."""
    path, number = out / f"{stem}.png", 2
    while path.exists():
        path, number = out / f"{stem}_{number}.png", number + 1
    return path

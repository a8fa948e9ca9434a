"""Grad-CAM overlays of image files, with the answers they explain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from cxr.core import features
from cxr.core.class_names import index_of
from cxr.core.errors import MissingFileError
from cxr.data.images.overlays import Explanation, overlay, save_overlay
from cxr.data.images.reader import MAX_SIDE, check_rules, encode, read_image
from cxr.trainer import artifact, model_info
from cxr.trainer.explain.gradcam import GradCam, backbones_of
from cxr.trainer.models.keras_files import load_model
from cxr.trainer.preprocessing import decode_and_resize
from cxr.trainer.scoring import SavedModel
from cxr.trainer.transform_graph import TransformGraph


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
        info = info_beside(source)
        if info:
            check_rules(info.reading_rules, source)
        self.class_names = info.class_names if info else tuple(str(i) for i in range(self._model.output_shape[-1]))
        self._max_side = (info.max_side or None) if info else MAX_SIDE
        name = info.name if info else Path(source).stem
        kept = artifact.transform_path(_artifact_of(source))
        self._transform = TransformGraph(kept, self.class_names) if tf.io.gfile.exists(kept) else None
        says = info is not None and info.outside is not None and info.outside.flagged is not None
        self._served = SavedModel(artifact.serving_dir(_artifact_of(source))) if says else None
        self._parts = {part_name: (part, GradCam(part)) for part_name, part in backbones_of(self._model, name).items()}

    def explain(self, file: Path, out: Path, class_name: str | None = None) -> Iterator[Explanation]:
        """Writes one overlay per backbone into an existing folder.

        Args:
          file: PNG, JPEG, BMP, TIFF or DICOM.
          out: Folder.
          class_name: Which class to explain; None: the one that the whole model predicts.

        Raises:
          CxrError: Not an image that can be read.
          UnwrittenError: The folder takes no overlay.
          UsageError: No such class.
        """
        wanted = self.index_of(class_name) if class_name is not None else None
        grey = read_image(file, max_side=self._max_side)
        # Through the same bytes and the same graph as a served request.
        encoded = encode(grey)
        images, seen = self._read(tf.constant([encoded]))
        outside = None
        if self._served:
            _, shares, outside = next(self._served.answers([encoded], lambda one: one))
        elif wanted is None:
            shares = np.asarray(self._model(images, training=False))[0]
        index = int(np.argmax(shares)) if wanted is None else wanted
        explained = self.class_names[index]
        for name, (part, cam) in self._parts.items():
            probabilities = np.asarray(part(images, training=False))[0]
            probability = float(probabilities[index])
            heat = cam(images, index)[0]
            saved = save_overlay(overlay(grey.array, heat, explained, seen, outside), out, file, name, explained, probability)
            predicted = self.class_names[int(probabilities.argmax())]
            row = (str(file), name, explained, predicted, round(probability, 4), not heat.any(), saved)
            yield Explanation(*row, remarks="; ".join(grey.remarks), outside=outside)

    def _read(self, encoded: tf.Tensor) -> tuple[tf.Tensor, Sequence[float]]:
        """Puts an image, string [1], through the graph kept beside the model, or what version 0.2 always did; and what is seen of it."""
        if self._transform:
            images, boxes = self._transform.images_and_boxes(encoded)
            return images, boxes[0].numpy().tolist()
        return tf.repeat(decode_and_resize(encoded, self._model.input_shape[1]), 3, axis=3), features.WHOLE

    def index_of(self, class_name: str) -> int:
        """Returns the position of a class.

        Raises:
          UsageError: The model has no such class.
        """
        return index_of(class_name, self.class_names)


def info_beside(source: str) -> model_info.ModelInfo | None:
    """Returns the description beside a model; None for a Keras file by itself, whose classes are then shown by number.

    Args:
      source: URI of a Model artifact, or a .keras file.

    Raises:
      CxrError: There is one, and it is damaged: how the model wants its images read is not known.
    """
    try:
        return model_info.read_info(_artifact_of(source))
    except MissingFileError:
        return None


def _artifact_of(source: str) -> str:
    return str(Path(source).parent.parent) if source.endswith(".keras") else source

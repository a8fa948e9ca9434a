"""Grad-CAM overlays of image files, with the answers they explain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from cxr.core.class_names import index_of
from cxr.core.errors import MissingFileError
from cxr.data.images.overlays import Explanation, overlay, save_overlay
from cxr.data.images.reader import check_rules, encode, read_image
from cxr.trainer import artifact, model_info
from cxr.trainer.explain.gradcam import GradCam, backbones_of
from cxr.trainer.models.keras_files import load_model
from cxr.trainer.scoring import SavedModel
from cxr.trainer.transform_graph import TransformGraph


class Explainer:
    """A loaded model that explains images one at a time, in bounded memory."""

    def __init__(self, source: str) -> None:
        """Loads a model.

        Args:
          source: URI of a Model artifact, or a .keras file.

        Raises:
          CxrError: No such model, one without what an artifact holds beside it, or one that was trained on images read otherwise than this
            release reads them.
        """
        self._model = load_model(source)
        info = info_beside(source)
        check_rules(info.reading_rules, source)
        self.class_names = info.class_names
        self._max_side = info.max_side or None
        uri = _artifact_of(source)
        graph = artifact.transform_path(uri)
        _check_beside(source, graph)
        self._transform = TransformGraph(graph, self.class_names)
        says = info.outside is not None and info.outside.flagged is not None
        self._served = SavedModel(artifact.serving_dir(uri)) if says else None
        self._parts = {part_name: (part, GradCam(part)) for part_name, part in backbones_of(self._model, info.name).items()}

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
        wanted = index_of(class_name, self.class_names) if class_name is not None else None
        grey = read_image(file, max_side=self._max_side)
        # Through the same bytes and the same graph as a served request.
        encoded = encode(grey)
        images, boxes = self._transform.images_and_boxes(tf.constant([encoded]))
        seen = boxes[0].numpy().tolist()
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


def info_beside(source: str) -> model_info.ModelInfo:
    """Returns the description beside a model.

    Args:
      source: URI of a Model artifact, or a .keras file.

    Raises:
      MissingFileError: There is none.
      CxrError: It is damaged.
    """
    uri = _artifact_of(source)
    _check_beside(source, f"{artifact.serving_dir(uri)}/{model_info.INFO}")
    return model_info.read_info(uri)


def _check_beside(source: str, needed: str) -> None:
    """Refuses a model that was taken out of its artifact: how it wants its images would be a guess, and the map a wrong one."""
    if not tf.io.gfile.exists(needed):
        raise MissingFileError(
            f"{source}: {needed} is not there, without which nobody knows how the model wants its images; give the folder of an artifact "
            "that this release trained, or model.keras where it lies in one"
        )


def _artifact_of(source: str) -> str:
    return str(Path(source).absolute().parent.parent) if source.endswith(".keras") else source

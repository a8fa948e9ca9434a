"""What Transform has defined, applied: the one way from an encoded image to pixels, and from a label to its index.

TFX would have Transform store its results. A picture as floats takes sixty times the space of its JPEG, so the graph is applied where
examples are read instead: in the trainers, in every signature of an exported model, and where TFMA reads labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.places import SAVED_MODEL
from cxr.trainer import files
from cxr.trainer.graph_digest import digest


class TransformGraph(tf.Module):
    """A loaded TransformGraph artifact, cut into the part that needs an image only and the part that needs a label only.

    TFT's own layer always runs the whole graph: a server has no label to give it, and TFMA would decode every picture for its label.

    Attributes:
      class_names: By their index.
      image_size: Height and width of the images, pixels.
      fingerprint: Of the graph, hex.
      image_fingerprint: Of what images go through, hex: the same for other data, unless what the analyzers found in them changes pixels.
    """

    def __init__(self, uri: str, class_names: Sequence[str]) -> None:
        """Loads the graph.

        Args:
          uri: TransformGraph artifact.
          class_names: In the order that the configuration states.

        Raises:
          CxrError: There is none, its image or label needs other features too, or it numbers the classes in another order.
        """
        super().__init__()
        self.class_names = tuple(class_names)
        output = tft.TFTransformOutput(uri)
        try:
            whole = tf.saved_model.load(output.transform_savedmodel_dir).transform_fn
        except (OSError, AttributeError) as error:
            raise CxrError(f"{uri}: not what a Transform component wrote ({error})") from None
        told = [features.SEEN_BOX] if features.SEEN_BOX in whole.structured_outputs else []
        self._images = _part(whole, features.IMAGE, *told, features.IMAGE_TENSOR)
        self._labels = _part(whole, features.LABEL, features.LABEL_INDEX)
        self.image_size = int(self._images.structured_outputs[-1].shape[1])
        self.fingerprint = hashlib.sha256(files.read_bytes(f"{output.transform_savedmodel_dir}/{SAVED_MODEL}")).hexdigest()
        self.image_fingerprint = digest(self._images.graph.as_graph_def())
        numbers = self.label_indices(tf.constant(self.class_names)).numpy().tolist()
        if numbers != list(range(len(self.class_names))):
            raise CxrError(
                f"Transform numbers the classes {', '.join(self.class_names)} as {numbers}; its preprocessing_fn has to number them in the "
                "order of data.class_names, by which probabilities are named"
            )

    def images(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decodes and normalises a batch.

        Args:
          encoded: string [batch], PNG or JPEG.

        Returns:
          float32 [batch, image_size, image_size, 3].

        Raises:
          tf.errors.InvalidArgumentError: See `preprocessing.decode_and_crop`.
        """
        return self.images_and_boxes(encoded)[0]

    def images_and_boxes(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `images` does, and what that shows of each image, float32 [batch, 4] (`features.SEEN_BOX`).

        A graph of an older version does not say so: then it is taken for all of the image.

        Args:
          encoded: string [batch], PNG or JPEG.
        """
        *told, images = self._images(encoded[:, tf.newaxis])
        boxes = told[0] if told else tf.tile([features.WHOLE], [tf.size(encoded), 1])
        return tf.ensure_shape(images, [None, self.image_size, self.image_size, 3]), tf.ensure_shape(boxes, [None, 4])

    def image(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decodes and normalises one image, string [] to float32 [image_size, image_size, 3]."""
        return self.images(encoded[tf.newaxis])[0]

    def label_indices(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns the classes' numbers, int64 [batch], of labels, string [batch]; -1 for what is no class."""
        return self._labels(labels[:, tf.newaxis])[0][:, 0]


def _part(whole: Any, feature: str, *results: str) -> Any:
    """Returns a function of one raw feature, [batch, 1], that yields a list of transformed features."""
    graph, analysed = whole.graph, whole.captured_inputs  # what the analyzers found comes after the features
    count = len(graph.inputs) - len(analysed)
    inputs = tf.nest.pack_sequence_as(whole.structured_input_signature[0][0], graph.inputs[:count], expand_composites=True)
    outputs = tf.nest.pack_sequence_as(graph.structured_outputs, graph.outputs, expand_composites=True)
    missing = {feature} - set(inputs) | set(results) - set(outputs)
    if missing:
        raise CxrError(f"Transform's graph lacks the feature {min(missing)!r}: check schema_file and preprocessing_fn")
    if any(value.dtype == tf.resource for value in analysed):
        raise CxrError("preprocessing_fn: lookup tables and variables are not supported; write what they hold as constants")
    # The last step of a traced function waits for every check in it; the one before waits for its own alone.
    found = [outputs[result] for result in results]
    taken = [output.op.inputs[0] if output.op.type == "Identity" else output for output in found]

    definition = graph.as_graph_def()
    definition.library.function.sort(key=lambda function: function.signature.name)  # loading leaves them in an order of chance

    def imported() -> None:
        with tf.name_scope("analysed"):
            constants = {placeholder.name: tf.constant(value) for placeholder, value in zip(graph.inputs[count:], analysed, strict=True)}
        tf.graph_util.import_graph_def(definition, input_map=constants, name="")

    wrapped = tf.compat.v1.wrap_function(imported, [])
    fed, *fetched = (wrapped.graph.get_tensor_by_name(tensor.name) for tensor in (inputs[feature], *taken))
    try:
        return wrapped.prune([fed], fetched)
    except Exception as error:  # TensorFlow keeps UnliftableError to itself
        named = " and ".join(map(repr, results))
        raise CxrError(f"preprocessing_fn: {named} must follow from {feature!r} alone, which is all that is there ({error})") from None

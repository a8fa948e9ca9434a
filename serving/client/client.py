"""Classifies images on a model server: TensorFlow Serving or `cxr serve`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from cxr.core import features
from cxr.core.class_names import index_of
from cxr.core.errors import UsageError
from cxr.data.images.reader import GreyImage, encode
from cxr.serving import defaults
from cxr.serving.client import models
from cxr.serving.client.connection import Connection, Tls
from cxr.serving.client.errors import BadImage, InvalidRequest, ModelNotFound, RequestFailed, SignatureMismatch, TooLarge, plain_reason
from cxr.serving.client.explained import heat_maps
from cxr.serving.client.inputs import grey_image
from cxr.serving.client.models import Metadata, Target, VersionStatus
from cxr.serving.client.predictions import Failure, Prediction, predictions
from cxr.serving.client.streams import batches, parallel_map
from cxr.serving.client.tensors import from_bytes, from_integers
from cxr.serving.client.wire import messages
from cxr.serving.remedies import PREDICT, Remedies

CONTACT_TIMEOUT = 5.0  # seconds to find the server and the model before images are read
MAX_BATCH_BYTES = 32 * 2**20
READERS = 2  # threads that decode files; DICOM takes longer to read than to send


@dataclass(frozen=True)
class _Image:
    path: str
    data: bytes
    error: RequestFailed | None = None
    remarks: tuple[str, ...] = ()


class Client:
    """A model on a server. Thread-safe; close it, or use it in a `with`.

    >>> with Client("127.0.0.1:8500", "ensemble", label="stable") as client:
    ...     for answer in client.predict_files([Path("image.png")]):
    ...         print(answer.path, answer.label)

    Attributes:
      target: the model, and which version of it.
      connection: to the server.
      timeout: seconds for one request, retries included.
    """

    def __init__(
        self,
        server: str = defaults.SERVER,
        model: str = features.ENSEMBLE,
        version: int | None = None,
        label: str | None = None,
        *,
        tls: Tls | None = None,
        timeout: float = defaults.REQUEST_SECONDS,
        max_in_flight: int = defaults.REQUESTS_AT_A_TIME,
        batch_size: int = defaults.REQUEST_IMAGES,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        remedies: Remedies = PREDICT,
    ):
        """Nothing is sent yet.

        Args:
          server: host:port of gRPC.
          model: its name on the server.
          version: which one; not together with a label. Neither: the latest.
          label: "stable", "canary" …
          tls: None for plaintext.
          timeout: seconds for one request, retries included.
          max_in_flight: requests at a time.
          batch_size: most images of one request.
          max_batch_bytes: most bytes of one request; a larger image goes alone.
          remedies: of who asks, for messages.

        Raises:
          CxrError: a malformed address, version and label at once, an unreadable TLS file.
        """
        self.target = Target(model, version, label)
        self.connection = Connection(server, tls, remedies)
        self.timeout, self._max_in_flight = timeout, max_in_flight
        self._batch_size, self._max_batch_bytes = batch_size, max_batch_bytes

    def metadata(self, timeout: float = CONTACT_TIMEOUT) -> Metadata:
        """Returns the version that answers and its signatures.

        Raises:
          RequestFailed: ModelNotFound, ServerUnavailable, …
        """
        return models.metadata(self.connection, self.target, timeout)

    def status(self, timeout: float = CONTACT_TIMEOUT) -> list[VersionStatus]:
        """Returns the state of every version of the model, newest first.

        Raises:
          RequestFailed: ModelNotFound, ServerUnavailable, …
        """
        return models.versions(self.connection, self.target.model, timeout)

    def introduction(self) -> Prediction:
        """Returns the answer to a made-up grey picture, which tells the classes in their order and the version that answers.

        Raises:
          RequestFailed: ModelNotFound, ServerUnavailable, …
        """
        grey = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
        answer = next(self.predict_bytes([("a grey picture", encode(GreyImage(grey, "png", grey.shape)))]))
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def predict_files(
        self, paths: Iterable[Path | str], *, explain: bool = False, class_name: str | None = None
    ) -> Iterator[Prediction | Failure]:
        """Reads and classifies images, several requests at a time.

        Args:
          paths: files that data/images/reader.py reads: PNG, JPEG, BMP, TIFF, DICOM; `inputs.find_images` lists those of a folder.
          explain: ask for heat maps with the predictions, in the same calls.
          class_name: whose evidence they show, with `explain` only; None: of the class that is predicted for each.

        Yields:
          One Prediction or Failure per path, in their order. An image that cannot be read or decoded loses no other.

        Raises:
          RequestFailed: what concerns all images: ModelNotFound, ServerUnavailable, DeadlineExceeded, …; SignatureMismatch where a version
            that wants images scaled otherwise takes over in the middle.
          UsageError: the model has no such class, or there is nothing to explain it by; one path in place of several.
        """
        if isinstance(paths, str | Path):
            raise UsageError(f"{paths}: one path, where several are wanted; put it into a list")
        if class_name is not None and not explain:
            raise UsageError("class_name says what to explain: set explain=True too")
        class_index = features.PREDICTED_CLASS if explain else None
        if explain and class_name is not None:
            class_index = index_of(class_name, list(self.introduction().probabilities))
        yield from self._predict_read(((str(path), Path(path)) for path in paths), class_index)

    def predict_contents(self, files: Iterable[tuple[str, bytes]], class_index: int | None = None) -> Iterator[Prediction | Failure]:
        """Reads and classifies image files already in memory; otherwise as `predict_files`.

        Args:
          files: name and content, of a format that `predict_files` takes.
          class_index: ask for heat maps that show the evidence for the class of this number, or PREDICTED_CLASS; None: for none.

        Raises:
          RequestFailed: what concerns all images; SignatureMismatch among it, where the model makes no heat maps.
        """
        return self._predict_read(files, class_index)

    def predict_bytes(self, images: Iterable[tuple[str, bytes]]) -> Iterator[Prediction | Failure]:
        """Classifies JPEG or PNG images already in memory, given as (name, bytes) and sent as they are; otherwise as `predict_files`.

        The model is not asked about itself: `synthetic` and `conformal_coverage` of a prediction stay None.
        """
        return self._predict(_Image(name, data) for name, data in images)

    def _predict_read(self, files: Iterable[tuple[str, Path | bytes]], class_index: int | None) -> Iterator[Prediction | Failure]:
        reading = models.reading(self.connection, self.target, self.timeout)
        if class_index is not None and not reading.explains:
            reason = f"has no signature {features.SIGNATURE_GRADCAM!r}: an older release exported it; train and push it again"
            raise SignatureMismatch(f"{self.target} (version {reading.version}) {reason}")
        known = {reading.version: reading}
        read = partial(self._read, max_side=reading.max_side)
        for answer in self._predict(parallel_map(read, files, READERS, "cxr-read"), class_index):
            if isinstance(answer, Prediction):
                if answer.version not in known:
                    known[answer.version] = self._took_over(answer.version, reading)
                told = known[answer.version]
                answer = replace(answer, synthetic=told.synthetic, conformal_coverage=told.conformal_coverage)
            yield answer

    def _took_over(self, version: int, before: models.Reading) -> models.Reading:
        """Asks a version that began to answer meanwhile how it reads images, which have been read for the one before it."""
        target = Target(self.target.model, version)
        try:
            reading = models.reading(self.connection, target, self.timeout)
        except ModelNotFound:  # gone again: its answers stand, as those of any version that does not tell
            return models.Reading(version)
        if reading.max_side != before.max_side:
            sides = f"{reading.max_side or 'no'} pixels at most in place of {before.max_side or 'no limit'}"
            raise SignatureMismatch(
                f"{target} took over from version {before.version}, and wants pictures scaled otherwise ({sides}); ask again"
            )
        return reading

    def _predict(self, images: Iterable[_Image], class_index: int | None = None) -> Iterator[Prediction | Failure]:
        groups = batches(images, lambda image: len(image.data), self._batch_size, self._max_batch_bytes)
        for answers in parallel_map(partial(self._send, class_index=class_index), groups, self._max_in_flight, "cxr-send"):
            yield from answers

    def _read(self, file: tuple[str, Path | bytes], max_side: int | None) -> _Image:
        name, source = file
        try:
            image = grey_image(source, max_side)
        except BadImage as error:
            return _Image(name, b"", error)
        return _Image(name, encode(image), remarks=image.remarks)

    def _send(self, images: list[_Image], class_index: int | None) -> list[Prediction | Failure]:
        good = [image for image in images if image.error is None]
        answers = iter(self._ask(good, class_index) if good else [])
        return [next(answers) if image.error is None else Failure(image.path, image.error) for image in images]

    def _ask(self, images: list[_Image], class_index: int | None) -> list[Prediction | Failure]:
        signature = features.SIGNATURE_BYTES if class_index is None else features.SIGNATURE_GRADCAM
        request = messages.PredictRequest(model_spec=self.target.spec(signature))
        request.inputs[features.SIGNATURE_BYTES].CopyFrom(from_bytes([image.data for image in images]))
        if class_index is not None:
            request.inputs[features.CLASS_INDEX].CopyFrom(from_integers([class_index] * len(images)))
        try:
            response = self.connection.call("Predict", request, self.timeout, str(self.target))
        except (InvalidRequest, TooLarge) as error:
            if len(images) == 1:
                return [Failure(images[0].path, _alone(images[0].path, error))]
            middle = len(images) // 2  # halves until each culprit is alone; the others are answered on the way
            return self._ask(images[:middle], class_index) + self._ask(images[middle:], class_index)
        answers = predictions([image.path for image in images], response)
        answers = [replace(answer, remarks=image.remarks) for answer, image in zip(answers, images, strict=True)]
        if class_index is None:
            return [*answers]
        maps = heat_maps([image.data for image in images], response)
        return [replace(answer, heat_map=heat_map) for answer, heat_map in zip(answers, maps, strict=True)]

    def close(self) -> None:
        """Ends the connection; requests under way fail."""
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _alone(path: str, error: RequestFailed) -> RequestFailed:
    """Returns the error of one image that was refused when it was sent alone."""
    said = plain_reason(error.details)
    if isinstance(error, TooLarge):
        return TooLarge(f"{path}: larger than the server takes ({said}); send a smaller picture", error.code, error.details)
    return BadImage(f"{path}: the server refused this image: {said}", error.code, error.details)

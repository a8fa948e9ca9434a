"""A model behind a server, asked about many labelled images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from cxr.core.errors import CxrError
from cxr.serving.client import models
from cxr.serving.client.client import Client
from cxr.serving.client.predictions import Failure, Prediction

T = TypeVar("T")


class ServedModel:
    """One version of a model on a server, with what it says about itself.

    Attributes:
      name, version: What answers.
      class_names: In the order of the probabilities.
      max_side: Pixels that longer images must be scaled down to; None: none is.
      synthetic: Whether it learnt from made-up images; None: unknown.
      training_images: None: a server cannot tell which images a model was trained on.
    """

    training_images: None = None

    def __init__(self, client: Client) -> None:
        """Asks for a grey picture, which tells the classes.

        Args:
          client: Of the model; stays open.

        Raises:
          RequestFailed: ModelNotFound, ServerUnavailable, …
          CxrError: The model was trained on images read otherwise than this release reads them.
        """
        client.metadata()  # a server that is not there is said soon; one that is busy has the client's time for the rest
        reading = models.reading(client.connection, client.target, client.timeout)
        self._client = client
        self.max_side, self.synthetic = reading.max_side, reading.synthetic
        first = client.introduction()
        self.name, self.version = first.model, str(first.version)
        self.class_names = tuple(first.probabilities)

    def answers(
        self, items: Iterable[T], image_of: Callable[[T], bytes], batch_size: int = 0
    ) -> Iterator[tuple[T, np.ndarray, bool | None]]:
        """Asks about the images of items.

        Yields:
          Each item in order, the probabilities of its image, float32 [classes], and whether the model finds this unlike anything that it
          was trained on; None: it does not say.

        Args:
          items: Read while earlier ones are under way.
          image_of: Encoded JPEG or PNG of an item.
          batch_size: Without effect: the client has one of its own.

        Raises:
          CxrError: The server cannot be asked, refuses an image, or another version took over meanwhile.
        """
        waiting: deque[T] = deque()

        def images() -> Iterator[tuple[str, bytes]]:
            for number, item in enumerate(items, 1):
                waiting.append(item)
                yield f"image {number}", image_of(item)

        for answer in self._client.predict_bytes(images()):
            found = self._answered(answer)
            if str(found.version) != self.version:
                raise CxrError(f"{self.name}: version {found.version} took over from {self.version} meanwhile; name one with --version")
            yield waiting.popleft(), np.array([found.probabilities[name] for name in self.class_names], np.float32), found.outside

    @staticmethod
    def _answered(answer: Prediction | Failure) -> Prediction:
        if isinstance(answer, Failure):
            raise answer.error
        return answer

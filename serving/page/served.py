"""The models behind one server: which there are, in what state, and what they say of a picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.serving.client import models
from cxr.serving.client.client import CONTACT_TIMEOUT, Client
from cxr.serving.client.connection import Tls
from cxr.serving.client.errors import DeadlineExceeded, ModelNotFound, ServerUnavailable
from cxr.serving.client.predictions import MEMBER_PREFIX, Failure, Prediction
from cxr.serving.defaults import REQUEST_SECONDS
from cxr.serving.page.problems import FILE, of_error
from cxr.serving.remedies import PAGE

READY, STARTING, UNUSABLE = "ready", "starting", "unusable"
_FIRST_TIME = 1_000_000_000  # as a version: 2001, before there were such models
_COMING = ("START", "LOADING")
_AT_ONCE = 4  # models that are asked for their state


@dataclass(frozen=True)
class ModelState:
    """One model, as the page shows it.

    Attributes:
      name: on the server.
      state: READY, STARTING or UNUSABLE.
      version: what answers; None unless READY.
      numbered: the time that the version's number stands for, ISO 8601; None where it is none.
      explains: whether it can say which regions speak for a class.
      synthetic: whether it learnt from made-up images; None: unknown.
      message, details: why it is not READY, as in Problem.
    """

    name: str
    state: str
    version: int | None = None
    numbered: str | None = None
    explains: bool = False
    synthetic: bool | None = None
    message: str = ""
    details: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for `json.dumps`."""
        return asdict(self)


class Served:
    """Thread-safe; close it."""

    def __init__(
        self,
        server: str,
        names: Callable[[], Sequence[str]] | None = None,
        *,
        label: str | None = None,
        tls: Tls | None = None,
        timeout: float = REQUEST_SECONDS,
    ):
        """Nothing is sent yet.

        Args:
          server: host:port of gRPC.
          names: gives the models to show; None: the ensemble, and of its members those that are served themselves (no server tells
            which models it has).
          label: which version of each; None: the latest.
          tls: None for plaintext.
          timeout: seconds for one request, retries included.

        Raises:
          CxrError: a malformed address, an unreadable TLS file.
        """
        self.server, self._names, self._label, self._tls, self._timeout = server, names, label, tls, timeout
        self._clients: dict[str, Client] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, "page-state")
        self._client(features.ENSEMBLE)  # a wrong address is said now

    def overview(self) -> list[ModelState]:
        """Returns the state of every model, the ensemble first.

        Raises:
          ServerUnavailable: nobody answers.
        """
        if self._names is None:
            return self._found()
        names = sorted(self._names(), key=lambda name: (name != features.ENSEMBLE, name))
        return list(self._pool.map(self._state, names))

    def predict(self, name: str, content: bytes, class_index: int | None = None) -> Prediction:
        """Asks a model about an image file; see `Client.predict_contents` for the class.

        Raises:
          CxrError: BadImage, ModelNotFound, ServerUnavailable, …; the images that the model learnt from were read by other rules.
        """
        (answer,) = self._present(name).predict_contents([(FILE, content)], class_index)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def close(self) -> None:
        """Ends the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for client in self._clients.values():
                client.close()

    def _found(self) -> list[ModelState]:
        first = self._state(features.ENSEMBLE)
        if first.state == UNUSABLE:
            return [replace(first, details=f"{first.details}; cxr page --model NAME shows other models")]
        if first.state != READY:
            return [first]
        signature = self._client(features.ENSEMBLE).metadata().signatures.get(features.SIGNATURE_BYTES)
        outputs = signature.outputs if signature else {}
        members = [name.removeprefix(MEMBER_PREFIX) for name in outputs if name.startswith(MEMBER_PREFIX)]
        return [first, *(state for state in self._pool.map(self._state, members) if state.state == READY)]

    def _state(self, name: str) -> ModelState:
        client = self._client(name)
        try:
            told = models.reading(client.connection, client.target, CONTACT_TIMEOUT)
        except ServerUnavailable:
            raise
        except DeadlineExceeded:  # a large model's first answer takes a while
            return ModelState(name, STARTING, message="This model has not answered yet: it is starting, or busy.")
        except ModelNotFound as error:
            return self._coming(client, error)
        except CxrError as error:
            return _unusable(name, error)
        return ModelState(name, READY, told.version, time_of(told.version), told.explains, told.synthetic)

    def _coming(self, client: Client, missing: ModelNotFound) -> ModelState:
        """Tells a model that is being loaded from one that failed to load, and both from one that is not there."""
        name = client.target.model
        try:
            versions = client.status()
        except ServerUnavailable:
            raise
        except CxrError:
            return _unusable(name, missing)
        if any(version.state in _COMING and not version.error for version in versions):
            return ModelState(name, STARTING, message="The server is loading this model.")
        failed = next((version for version in versions if version.error), None)
        if failed is None:
            return _unusable(name, missing)
        return ModelState(name, UNUSABLE, message=f"Version {failed.version} of this model could not be loaded.", details=failed.error)

    def _present(self, name: str) -> Client:
        """Returns the client of a model that answers now: a server that is gone is said after seconds, not after the time-out."""
        client = self._clients.get(name)
        if client is None:
            raise ModelNotFound(f"{self.server}: the page does not show a model of this name")
        client.metadata()
        return client

    def _client(self, name: str) -> Client:
        with self._lock:
            if name not in self._clients:
                self._clients[name] = Client(self.server, name, label=self._label, tls=self._tls, timeout=self._timeout, remedies=PAGE)
            return self._clients[name]


def time_of(version: int) -> str | None:
    """Returns the time that a version's number stands for, ISO 8601; None where it is none.

    This project's Pusher numbers versions by the second of the push, as TFX's does.
    """
    return datetime.fromtimestamp(version, UTC).isoformat() if _FIRST_TIME <= version <= time.time() else None


def _unusable(name: str, error: CxrError) -> ModelState:
    problem = of_error(error)
    return ModelState(name, UNUSABLE, message=problem.message, details=problem.details)

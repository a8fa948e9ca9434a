"""The life of one model version: its states, who is using it, and when it may be freed."""

import threading
from pathlib import Path

import grpc
from tensorflow_serving.apis import get_model_status_pb2

from cxr.serving.server.errors import ServingError
from cxr.serving.server.loader import LoadedModel

State = get_model_status_pb2.ModelVersionStatus.State
START, LOADING, AVAILABLE, UNLOADING, END = (State.Value(name) for name in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END"))


class Version:
    """One version of one model. Fields change only under the manager's lock.

    Attributes:
      aspired: the policy wants it now.
      error: why it did not load (while LOADING: why the last attempt failed).
      loaded: the model while AVAILABLE or UNLOADING.
    """

    def __init__(self, model: str, number: int, path: Path):
        self.model, self.number, self.path = model, number, path
        self.state: int = START
        self.aspired = True
        self.error: ServingError | None = None
        self.loaded: LoadedModel | None = None
        self.retry_now = threading.Event()  # set to end the pause between two attempts
        self._users = 0
        self._free = threading.Condition()

    def retain(self) -> None:
        """Counts one more user; to be paired with `release`."""
        with self._free:
            self._users += 1

    def release(self) -> None:
        """Counts one user less."""
        with self._free:
            self._users -= 1
            if self._users == 0:
                self._free.notify_all()

    def wait_until_unused(self) -> None:
        """Returns when nobody uses it; new users must be kept out first (state UNLOADING)."""
        with self._free:
            self._free.wait_for(lambda: self._users == 0)

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """Returns the entry of a GetModelStatusResponse."""
        answer = get_model_status_pb2.ModelVersionStatus(version=self.number, state=self.state)
        answer.status.error_code = self.error.code.value[0] if self.error else grpc.StatusCode.OK.value[0]
        answer.status.error_message = self.error.message if self.error else ""
        return answer

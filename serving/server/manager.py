"""The configured models: which versions their policies and folders ask for, labels, and changes of all that."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from tensorflow_serving.apis import model_pb2

from cxr.serving.server import served_models as configs
from cxr.serving.server.errors import ServingError
from cxr.serving.server.lookup import assign_labels, find
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.states import AVAILABLE, END, Version
from cxr.serving.server.versions import Versions

log = logging.getLogger(__name__)


@dataclass
class _Model:
    config: configs.ModelConfig
    labels: dict[str, int]
    new: bool = False  # of a change that is not committed yet


class Manager:
    """All models of a server."""

    def __init__(self, options: ServerOptions, warm_up: Callable[[Version], int]):
        """Makes an empty manager; `begin` and `commit` give it models.

        Args:
          options: polling, retries and threads.
          warm_up: see `Versions`.
        """
        self._options = options
        self._versions = Versions(options, warm_up)
        self._changed, self._stopped = self._versions.changed, self._versions.stopped
        self._models: dict[str, _Model] = {}
        self._change = 0  # number of the last change of configuration that began
        self._lacks: dict[str, str] = {}  # what the last look did not find, by model
        self._looking = threading.Lock()  # one look at the folders at a time: what an older look saw must not undo a newer one
        self._poller = threading.Thread(target=self._poll_forever, name="poll", daemon=True)

    # === Configuration ===

    def begin(self, models: list[configs.ModelConfig]) -> int:
        """Begins a change of configuration: those of the models that are new start to load, all others stay as they are.

        Args:
          models: checked by `served_models.validate`.

        Returns:
          Number of the change, for `wait`, `commit` and `withdraw`. A later change takes the place of one that still waits.

        Raises:
          ServingError: FAILED_PRECONDITION, a label names a version that is not available now; nothing has changed.
        """
        with self._changed:
            kept = {name: model for name, model in self._models.items() if not model.new}
            labels = self._labels(models, kept)
            self._models = kept | {m.name: _Model(m, labels[m.name], new=True) for m in models if m.name not in kept}
            self._change += 1
            number = self._change
            self._changed.notify_all()
        self._look()
        return number

    def commit(self, number: int, models: list[configs.ModelConfig]) -> None:
        """Makes these models the configured ones, with their policies and labels; what is not among them will be unloaded.

        Raises:
          ServingError: ABORTED, a later change has begun; FAILED_PRECONDITION, a labelled version has gone since `begin`.
        """
        with self._changed:
            self._refuse_superseded(number)
            labels = self._labels(models, self._models)
            self._models = {m.name: _Model(m, labels[m.name]) for m in models}
        self._look()

    def withdraw(self, number: int) -> None:
        """Lets go of the new models of a change that was not committed; does nothing when a later one has begun."""
        with self._changed:
            if number == self._change:
                self._models = {name: model for name, model in self._models.items() if not model.new}
        self._look()

    def _labels(self, models: list[configs.ModelConfig], current: dict[str, _Model]) -> dict[str, dict[str, int]]:
        allow, found = self._options.allow_version_labels_for_unavailable_models, {}
        for config in models:
            old = current[config.name].labels if config.name in current else {}
            available = {number for number, version in self._versions.by_number(config.name).items() if version.state == AVAILABLE}
            found[config.name] = assign_labels(config, old, available, allow)
        return found

    def _refuse_superseded(self, number: int) -> None:
        if number != self._change:
            raise ServingError(grpc.StatusCode.ABORTED, "A later configuration came while the models of this one were loading")

    def wait(self, number: int, seconds: float | None) -> None:
        """Returns when each new model of a change has an available version and its other wanted ones have been tried.

        The lock is free meanwhile: requests are answered, and a later change ends this waiting.

        Raises:
          ServingError: UNKNOWN (TensorFlow Serving's code), a model has no version and will get none, or the seconds (None: no
            limit) are over, and the text says why; ABORTED, a later change has begun.
        """
        wanted = self._versions.wanted

        def available(name: str) -> bool:
            return any(version.state == AVAILABLE for version in wanted(name))

        def done(name: str) -> bool:
            if available(name):  # the others may be tried again while this one serves
                return all(version.state == AVAILABLE or version.error for version in wanted(name))
            return bool(wanted(name)) and all(version.state == END for version in wanted(name))

        with self._changed:
            names = [name for name, model in self._models.items() if model.new]
            over = self._changed.wait_for(lambda: self._stopped.is_set() or number != self._change or all(map(done, names)), seconds)
            self._refuse_superseded(number)
            reasons = "; ".join(f"{name}: {self._reason(name)}" for name in names if not available(name))
        if reasons:
            waited = "" if over else f" (waited {seconds:g} s)"
            raise ServingError(grpc.StatusCode.UNKNOWN, f"Some models did not become available: {reasons}{waited}")

    def _reason(self, name: str) -> str:
        failed = [f"version {v.number}: {v.error.message}" for v in self._versions.wanted(name) if v.error]
        return ", ".join(failed) or f"no version loaded from {self._models[name].config.base_path}"

    # === Versions ===

    def poll(self) -> None:
        """Looks at every base path once and starts what has to be loaded or unloaded."""
        with self._looking:
            with self._changed:
                current = dict(self._models)
            wanted = {name: configs.aspired_versions(model.config) for name, model in current.items()}  # outside the lock: files
            self._tell_lacks({name: configs.lack(model.config, wanted[name]) for name, model in current.items()})
            with self._changed:
                if self._stopped.is_set():
                    return
                for name in self._versions.names() | set(wanted):
                    folders = wanted.get(name, {})
                    if folders is not None and self._models.get(name) is current.get(name):  # else: the next look decides
                        self._versions.aspire(name, folders)

    def _tell_lacks(self, lacks: dict[str, str]) -> None:
        """Logs what a look does not find, once: who starts a server with a mistyped path would else wait without a word."""
        for name, text in lacks.items():
            if text and text != self._lacks.get(name):
                log.warning("%s: %s; looking again every %g s", name, text, self._options.poll_seconds)
            elif not text and self._lacks.get(name):
                log.info("%s: all that it is to have is there now", name)
        self._lacks = lacks

    def _look(self) -> None:
        self.poll()
        with self._changed:
            if not self._poller.is_alive() and not self._stopped.is_set():
                self._poller.start()

    def _poll_forever(self) -> None:
        while not self._stopped.wait(self._options.poll_seconds):
            try:
                self.poll()
            except Exception:
                log.exception("looking for new versions failed; trying again")

    # === Requests ===

    @contextmanager
    def acquire(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """Holds the version that a ModelSpec means, so that it is not unloaded meanwhile.

        Raises:
          ServingError: no name, unknown label, or nothing available under that name and version.
        """
        with self._changed:
            model = self._models.get(spec.name)
            version = find(spec, self._versions.by_number(spec.name), model.labels if model else {})
            version.retain()
        try:
            yield version
        finally:
            version.release()

    def states(self, name: str) -> dict[int, Version]:
        """Returns every version of a model that was ever seen, newest first."""
        return self._versions.states(name)

    def models(self) -> dict[str, configs.ModelConfig]:
        """Returns the configured models by name, without those of a change that is not committed yet."""
        with self._changed:
            return {name: model.config for name, model in self._models.items() if not model.new}

    def interrupt(self) -> None:
        """Makes a `wait` give up."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends polling and loading, waits until no request uses a version any more, and frees the sessions."""
        self._versions.stop()

"""Keeps the loaded versions equal to what policies and folders ask for: load before unload, retries, labels, states."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from tensorflow_serving.apis import model_pb2

from cxr.core.errors import CxrError
from cxr.serving.server import served_models as configs
from cxr.serving.server.errors import from_exception
from cxr.serving.server.loader import LoadedModel
from cxr.serving.server.lookup import assign_labels, find
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.states import AVAILABLE, END, LOADING, UNLOADING, Version

log = logging.getLogger(__name__)


@dataclass
class _Model:
    config: configs.ModelConfig
    labels: dict[str, int] = field(default_factory=dict)


class Manager:
    """All models of a server.

    Loads and unloads run in threads of their own, so that requests for other models and versions go on meanwhile.
    """

    def __init__(self, options: ServerOptions, warm_up: Callable[[Version], int]):
        """Makes an empty manager; `replace` gives it models.

        Args:
            options: polling, retries and threads.
            warm_up: called with each version after its load and before it becomes available; an exception fails the load.
        """
        self._options, self._warm_up = options, warm_up
        self._models: dict[str, _Model] = {}
        self._live: dict[str, dict[int, Version]] = {}  # wanted, or still loaded
        self._ended: dict[str, dict[int, Version]] = {}  # last state of what is gone, for GetModelStatus
        self._changed = threading.Condition(threading.RLock())
        self._stopped = threading.Event()
        self._load_slots = threading.Semaphore(options.load_threads)
        self._loaders: set[threading.Thread] = set()
        self._unload_pool = ThreadPoolExecutor(thread_name_prefix="unload")
        self._poller = threading.Thread(target=self._poll_forever, name="poll", daemon=True)

    # === Configuration ===

    def replace(self, models: list[configs.ModelConfig]) -> None:
        """Makes these (checked) models the configured ones and starts what that asks for; labels stay until `label`."""
        with self._changed:
            old = self._models
            self._models = {m.name: _Model(m, old[m.name].labels if m.name in old else {}) for m in models}
        self.poll()
        if not self._poller.is_alive() and not self._stopped.is_set():
            self._poller.start()

    def label(self, models: list[configs.ModelConfig]) -> None:
        """Gives the models the labels of their configurations.

        Raises:
            ServingError: FAILED_PRECONDITION, a label names a version that is not available; that model keeps its labels.
        """
        allow = self._options.allow_version_labels_for_unavailable_models
        with self._changed:
            for config in models:
                model = self._models[config.name]
                available = {n for n, v in self._live.get(config.name, {}).items() if v.state == AVAILABLE}
                model.labels = assign_labels(config, model.labels, available, allow)

    def wait(self, names: list[str], seconds: float | None) -> None:
        """Returns when each of these models has an available version and its other wanted ones have been tried.

        Raises:
            CxrError: a model has none and will get none, or the seconds (None: no limit) are over; the text says why.
        """

        def available(name: str) -> bool:
            return any(v.state == AVAILABLE for v in self._live.get(name, {}).values())

        def done(name: str) -> bool:
            aspired = [v for v in self._live.get(name, {}).values() if v.aspired]
            if available(name):  # the others may be tried again while this one serves
                return all(v.state == AVAILABLE or v.error for v in aspired)
            return bool(aspired) and all(v.state == END for v in aspired)

        with self._changed:
            in_time = self._changed.wait_for(lambda: self._stopped.is_set() or all(map(done, names)), seconds)
            reasons = "; ".join(f"{name}: {self._reason(name)}" for name in names if not available(name))
        if reasons:
            raise CxrError(f"Some models did not become available: {reasons}{'' if in_time else f' (waited {seconds} s)'}")

    def _reason(self, name: str) -> str:
        failed = [f"version {v.number}: {v.error.message}" for v in self._live.get(name, {}).values() if v.error]
        return ", ".join(failed) or f"no version loaded from {self._models[name].config.base_path}"

    # === Versions ===

    def poll(self) -> None:
        """Looks at every base path once and starts what has to be loaded or unloaded."""
        with self._changed:
            current = dict(self._models)
        wanted = {name: configs.aspired_versions(model.config) for name, model in current.items()}  # files are read outside the lock
        with self._changed:
            if self._stopped.is_set():
                return
            for name in set(self._live) | set(wanted):
                if self._models.get(name) is not current.get(name):
                    continue  # reconfigured meanwhile; that poll decides
                live, folders = self._live.setdefault(name, {}), wanted.get(name, {})
                if folders is None:
                    continue
                for number, version in list(live.items()):
                    version.aspired = folders.get(number) == version.path
                    if not version.aspired and version.state == END:
                        del live[number]  # asking for it again later loads it again
                    elif not version.aspired:
                        version.retry_now.set()
                    else:
                        version.retry_now.clear()
                for number in sorted(folders, reverse=True):
                    if number not in live:
                        live[number] = Version(name, number, folders[number])
                        self._ended.get(name, {}).pop(number, None)
                        self._start_load(live[number])
                self._unload_unwanted(name)

    def _poll_forever(self) -> None:
        while not self._stopped.wait(self._options.poll_seconds):
            try:
                self.poll()
            except Exception:
                log.exception("looking for new versions failed; trying again")

    def _start_load(self, version: Version) -> None:
        # A thread each: one that pauses before its next attempt must not keep others from loading.
        thread = threading.Thread(target=self._load, args=(version,), name=f"load {version.model} {version.number}", daemon=True)
        self._loaders = {loader for loader in self._loaders if loader.is_alive()} | {thread}
        thread.start()

    def _load(self, version: Version) -> None:
        attempts = self._options.load_retries + 1
        for attempt in range(1, attempts + 1):
            if not version.aspired or self._stopped.is_set():
                break
            try:
                with self._load_slots:
                    self._set(version, LOADING)
                    self._load_once(version)
                return
            except Exception as error:
                version.error = from_exception(error)
                name = f"{version.model} version {version.number}"
                log.error("%s: load failed (attempt %d of %d): %s", name, attempt, attempts, version.error)
            if attempt < attempts:
                version.retry_now.wait(self._options.load_retry_seconds)
        self._set(version, END)
        self._forget_if_unwanted(version)

    def _load_once(self, version: Version) -> None:
        loaded = LoadedModel(version.path, self._options.intra_op_threads, self._options.inter_op_threads)
        version.loaded = loaded
        try:
            records = self._warm_up(version) if self._options.warm_up else 0
        except BaseException:
            version.loaded = None
            loaded.close()
            raise
        with self._changed:
            version.error = None
            self._set(version, AVAILABLE)
            log.info("%s version %d: available (%d warm-up records)", version.model, version.number, records)
            self._unload_unwanted(version.model)

    def _unload_unwanted(self, name: str) -> None:
        versions = self._live.get(name, {}).values()
        aspired = [v for v in versions if v.aspired]
        if aspired and not any(v.state == AVAILABLE for v in aspired):
            return  # the old one stays until a new one serves
        for version in versions:
            if not version.aspired and version.state == AVAILABLE:
                self._set(version, UNLOADING)
                self._unload_pool.submit(self._unload, version)

    def _unload(self, version: Version) -> None:
        version.wait_until_unused()
        loaded, version.loaded = version.loaded, None
        if loaded is not None:
            loaded.close()
        self._set(version, END)
        log.info("%s version %d: unloaded", version.model, version.number)
        self._forget_if_unwanted(version)

    def _forget_if_unwanted(self, version: Version) -> None:
        with self._changed:
            live = self._live.get(version.model, {})
            if live.get(version.number) is version and (not version.aspired or version.error is None):
                del live[version.number]  # wanted again meanwhile: the next poll loads it anew

    def _set(self, version: Version, state: int) -> None:
        with self._changed:
            version.state = state
            if state == END:
                self._ended.setdefault(version.model, {})[version.number] = version
            self._changed.notify_all()

    # === Requests ===

    @contextmanager
    def acquire(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """Holds the version that a ModelSpec means, so that it is not unloaded meanwhile.

        Raises:
            ServingError: no name, unknown label, or nothing available under that name and version.
        """
        with self._changed:
            model = self._models.get(spec.name)
            version = find(spec, self._live.get(spec.name, {}), model.labels if model else {})
            version.retain()
        try:
            yield version
        finally:
            version.release()

    def states(self, name: str) -> dict[int, Version]:
        """Returns every version of a model that was ever seen, newest first."""
        with self._changed:
            both = {**self._ended.get(name, {}), **self._live.get(name, {})}
            return {number: both[number] for number in sorted(both, reverse=True)}

    def models(self) -> dict[str, configs.ModelConfig]:
        """Returns the configured models by name."""
        with self._changed:
            return {name: model.config for name, model in self._models.items()}

    def interrupt(self) -> None:
        """Makes a `wait` give up."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends polling and loading, waits until no request uses a version any more, and frees the sessions."""
        with self._changed:
            self._stopped.set()
            versions = [v for live in self._live.values() for v in live.values()]
            for version in versions:
                version.aspired = False
                version.retry_now.set()
            self._changed.notify_all()
        for loader in self._loaders:
            loader.join()
        with self._changed:
            for version in versions:
                if version.state == AVAILABLE:
                    self._set(version, UNLOADING)
                    self._unload_pool.submit(self._unload, version)
        self._unload_pool.shutdown(wait=True)

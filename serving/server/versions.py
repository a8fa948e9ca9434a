"""The versions that are loaded or loading: load before unload, retries, states."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cxr.serving.server.errors import from_exception, not_found
from cxr.serving.server.loader import LoadedModel
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.states import AVAILABLE, END, LOADING, UNLOADING, Version

log = logging.getLogger(__name__)


class Versions:
    """All versions of all models of a server.

    Loads and unloads run in threads of their own, so that requests for other models and versions go on meanwhile.

    Attributes:
      changed: the lock of everything here, notified when a version changes its state; held by callers of what says so.
      stopped: set when the server ends.
    """

    def __init__(self, options: ServerOptions, warm_up: Callable[[Version], int]):
        """Makes an empty set.

        Args:
          options: retries and threads.
          warm_up: called with each version after its load and before it becomes available; an exception fails the load.
        """
        self._options, self._warm_up = options, warm_up
        self._live: dict[str, dict[Path, Version]] = {}  # wanted, or still loaded; by folder: one number can move to another folder
        self._ended: dict[str, dict[int, Version]] = {}  # last state of what is gone, for GetModelStatus
        self.changed = threading.Condition(threading.RLock())
        self.stopped = threading.Event()
        self._load_slots = threading.Semaphore(options.load_threads)
        self._loaders: set[threading.Thread] = set()
        self._unload_pool = ThreadPoolExecutor(thread_name_prefix="unload")

    def names(self) -> set[str]:
        """Returns the models that have versions; under the lock."""
        return set(self._live)

    def wanted(self, name: str) -> list[Version]:
        """Returns the versions of a model that its policy wants; under the lock."""
        return [version for version in self._live.get(name, {}).values() if version.aspired]

    def by_number(self, name: str) -> dict[int, Version]:
        """Returns the versions of a model; where one comes from two folders, that which serves, or else that which is wanted.

        Under the lock.
        """
        versions = self._live.get(name, {}).values()
        return {v.number: v for v in sorted(versions, key=lambda v: (v.state == AVAILABLE, v.aspired))}

    def states(self, name: str) -> dict[int, Version]:
        """Returns every version of a model that was ever seen, newest first."""
        with self.changed:
            both = {**self._ended.get(name, {}), **self.by_number(name)}
            return {number: both[number] for number in sorted(both, reverse=True)}

    def aspire(self, name: str, folders: dict[int, Path]) -> None:
        """Starts what it takes to have these versions of a model, and no others; under the lock.

        Args:
          name: of the model.
          folders: of the versions, by number.
        """
        live = self._live.setdefault(name, {})
        for path, version in list(live.items()):
            version.aspired = folders.get(version.number) == path
            if not version.aspired and version.state == END:
                del live[path]  # asking for it again later loads it again
            elif not version.aspired:
                version.retry_now.set()
            else:
                version.retry_now.clear()
        for number in sorted(folders, reverse=True):
            path = folders[number]
            if path not in live:
                live[path] = Version(name, number, path)
                self._ended.get(name, {}).pop(number, None)
                self._start_load(live[path])
        self._unload_unwanted(name)

    def stop(self) -> None:
        """Ends loading, waits until no request uses a version any more, and frees the sessions."""
        with self.changed:
            self.stopped.set()
            versions = [v for live in self._live.values() for v in live.values()]
            for version in versions:
                version.aspired = False
                version.retry_now.set()
            self.changed.notify_all()
        for loader in self._loaders:
            loader.join()
        with self.changed:
            for version in versions:
                if version.state == AVAILABLE:
                    self._set(version, UNLOADING)
                    self._unload_pool.submit(self._unload, version)
        self._unload_pool.shutdown(wait=True)

    def _start_load(self, version: Version) -> None:
        # A thread each: one that pauses before its next attempt must not keep others from loading.
        thread = threading.Thread(target=self._load, args=(version,), name=f"load {version.model} {version.number}", daemon=True)
        self._loaders = {loader for loader in self._loaders if loader.is_alive()} | {thread}
        thread.start()

    def _load(self, version: Version) -> None:
        attempts = self._options.load_retries + 1
        for attempt in range(1, attempts + 1):
            if not version.aspired or self.stopped.is_set():
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
        _refuse_missing(version)
        log.info("%s version %d: loading", version.model, version.number)
        loaded = LoadedModel(
            version.path, self._options.intra_op_threads, self._options.inter_op_threads, unchecked=self._options.unchecked_models
        )
        version.loaded = loaded
        try:
            records = self._warm_up(version) if self._options.warm_up else 0
        except BaseException:
            version.loaded = None
            loaded.close()
            raise
        with self.changed:
            version.error = None
            self._set(version, AVAILABLE)
            log.info("%s version %d: available (%d warm-up records)", version.model, version.number, records)
            self._unload_unwanted(version.model)

    def _unload_unwanted(self, name: str) -> None:
        versions = self._live.get(name, {}).values()
        aspired = [v for v in versions if v.aspired]
        if aspired and not any(v.state == AVAILABLE for v in aspired):
            return  # the old one stays until a new one serves
        coming = {v.number for v in aspired if v.state != AVAILABLE}  # from another folder: what is loaded serves until then
        for version in versions:
            if not version.aspired and version.state == AVAILABLE and version.number not in coming:
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
        with self.changed:
            live = self._live.get(version.model, {})
            if live.get(version.path) is version and (not version.aspired or version.error is None):
                del live[version.path]  # wanted again meanwhile: the next poll loads it anew

    def _set(self, version: Version, state: int) -> None:
        with self.changed:
            version.state = state
            if state == END:
                self._ended.setdefault(version.model, {})[version.number] = version
            self.changed.notify_all()


def _refuse_missing(version: Version) -> None:
    """Refuses a folder without a SavedModel with TensorFlow Serving's code; Python's loader has none, and names the folder to every client.

    Raises:
      ServingError: NOT_FOUND.
    """
    if not any(version.path.glob("saved_model.*")):  # text and parts are left to the loader, which has its own words on them
        raise not_found(
            f"Could not find SavedModel .pb or .pbtxt of model {version.model} version {version.number}: push it again under a higher "
            "number, whole, and check that the server may read it"
        )

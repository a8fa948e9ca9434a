"""Where a pipeline keeps what it writes."""

from __future__ import annotations

import errno
import fcntl
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePath
from typing import IO

from cxr.core.errors import CxrError, UsageError
from cxr.core.file_names import unreadable

LATEST = "latest"  # link in runs/ to the newest run
RECORDS = ".records"  # link to what the newest run reads
REPORT = "report.json"
PAGE = "report.html"
LOG = "run.log"
CONFIG = "config.yaml"
LOCK = ".lock"  # held while a run or a prune of the pipeline is under way; says which
CROSSVAL_LOCK = ".crossval.lock"  # held while a cross-validation is
PIPELINE_ROOT = "tfx"
BASELINES = "baselines"  # beside it, artifacts too
_BELOW = {PIPELINE_ROOT: 3, BASELINES: 2}  # names of an artifact's folder below these: <node>/<output>/<execution>, <model>/<version>
RUN, PRUNE = "run", "prune"  # who may hold the lock
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # what file systems say that have no links
_LOOK_SECONDS = 0.01  # that `lock_holder` takes, and more
_RUN_NAME = "%Y%m%d-%H%M%S-%f"  # less its last three digits: milliseconds


@dataclass(frozen=True)
class Workspace:
    """The folders of one pipeline; each pipeline (configuration name) has its own, so that a demo never mixes with real models."""

    root: Path
    pipeline: str

    @property
    def home(self) -> Path:
        """Folder of this pipeline, by its real path: the cache looks at paths, and another name of the workspace is no other one.

        Unless only the other name is one that TFX can read (`file_names.check_readable`).
        """
        real = self.root.resolve()
        return (self.root.absolute() if unreadable(str(real)) else real) / self.pipeline

    @property
    def data(self) -> Path:
        """Examples that a run ingested itself."""
        return self.home / "data"

    @property
    def records(self) -> Path:
        """Link to the records that the run under way reads; see `point_records_at`."""
        return self.home / RECORDS

    @property
    def pipeline_root(self) -> Path:
        """TFX's artifacts."""
        return self.home / PIPELINE_ROOT

    @property
    def metadata(self) -> Path:
        """ML Metadata's SQLite file."""
        return self.home / "metadata.db"

    @property
    def training_state(self) -> Path:
        """What interrupted training resumes from."""
        return self.home / "training_state"

    @property
    def schema(self) -> Path:
        """The curated schemas of runs, each under the hash of what it says."""
        return self.home / "schema"

    @property
    def baselines(self) -> Path:
        """Links to the pushed versions that candidates were compared with, `<model>/<version>`: TFX's artifacts of them."""
        return self.home / BASELINES

    @property
    def crossval(self) -> Path:
        """What cross-validations keep for the next ones: Transform graphs, finished folds, what was interrupted; and what they found."""
        return self.home / "crossval"

    @property
    def crossval_results(self) -> Path:
        """Below it: what they found, one folder each."""
        return self.crossval / "results"

    @property
    def feature_cache(self) -> Path:
        """Features of frozen backbones, one folder for all pipelines of a workspace."""
        return feature_cache_of(self.root)

    @property
    def feature_cache_setting(self) -> Path:
        """File that tells the trainers of a run where features are kept."""
        return self.home / "feature_cache.json"

    @property
    def serving_models(self) -> Path:
        """Pushed models, `<model>/<version>`: what TensorFlow Serving watches."""
        return self.home / "serving_models"

    @property
    def runs(self) -> Path:
        """One folder per run with its configuration, log and report."""
        return self.home / "runs"

    def new_run(self) -> Path:
        """Returns where a new run's folder goes, named by the clock; where that was set back, by the moment after the newest run.

        What the newest run is, and which came before it, is told by their names. It is made with the run's record (run_record.py), so that
        none is ever without one.
        """
        now = datetime.now()
        newest = max((began for run in all_runs(self.root, self.pipeline) if (began := _began(run.name))), default=None)
        if newest is not None and newest >= now.replace(microsecond=now.microsecond // 1000 * 1000):
            now = newest + timedelta(milliseconds=1)
        return self.runs / now.strftime(_RUN_NAME)[:-3]

    def point_latest_at(self, folder: Path) -> None:
        """Makes a run the one that `latest` names: once its data are there, so that a mistyped path does not hide the run before."""
        _point(self.runs / LATEST, folder.name)

    def point_records_at(self, folder: Path) -> None:
        """Makes `records` lead to a folder, absolute: a path that is the same for every run.

        TFX's cache takes the path that a node reads from for a part of what it does. The records are known to it by their content as well
        (components/example_gen/driver.py), so that the same ones, copied or moved, come from the cache.
        """
        _point(self.records, folder)

    @contextmanager
    def lock(self, holder: str = RUN) -> Iterator[None]:
        """Keeps a second run, or a prune, out of the same pipeline while one is under way.

        Args:
          holder: RUN or PRUNE.

        Raises:
          CxrError: Another process holds it.
          UsageError: There can be no such folder.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST):
                raise
            raise UsageError(f"{self.home}: cannot be made ({error.strerror}); name another folder with --workspace") from None
        with open(self.home / LOCK, "a+", encoding="utf-8") as file:  # not emptied: it may be another's
            while not _taken(file):
                if holding := self.lock_holder():
                    what = "a prune" if holding == PRUNE else "another run"
                    raise CxrError(f"{self.home}: {what} of pipeline {self.pipeline!r} is under way; wait for it or use --workspace")
                time.sleep(_LOOK_SECONDS)  # somebody asks who holds it, and holds it meanwhile
            file.truncate(0)
            file.write(holder)
            file.flush()
            yield

    @contextmanager
    def lock_crossval(self) -> Iterator[None]:
        """Keeps a second cross-validation of the same pipeline out, which would go on with the same trainings, and a prune.

        Raises:
          CxrError: Another process holds it.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with open(self.home / CROSSVAL_LOCK, "a+", encoding="utf-8") as file:
            if not _taken(file):
                raise CxrError(
                    f"{self.home}: another cross-validation of pipeline {self.pipeline!r}, or a prune, is under way; wait for it or use "
                    "--workspace"
                )
            yield

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """Keeps runs, cross-validations and prunes waiting while somebody looks at what they change; writes nothing.

        Raises:
          CxrError: One of them is under way.
          OSError: A lock may not be read.
        """
        with ExitStack() as held:
            for name in (LOCK, CROSSVAL_LOCK):
                with suppress(FileNotFoundError):  # nobody has ever held it
                    if not _taken(held.enter_context(open(self.home / name, encoding="utf-8")), fcntl.LOCK_SH):
                        raise CxrError(f"{self.home}: a run, a prune or a cross-validation of it is under way; wait for its end")
            yield

    def lock_holder(self) -> str | None:
        """Returns who holds the lock, RUN or PRUNE; None: nobody."""
        try:
            with open(self.home / LOCK, encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return PRUNE if file.read() == PRUNE else RUN
        except OSError:
            pass
        return None


def _point(link: Path, target: Path | str) -> None:
    """Makes a link, or turns it to another target, at once.

    Raises:
      CxrError: The file system has no links, or a folder is where the link belongs.
    """
    new = link.with_name(f".{link.name}-{uuid.uuid4().hex}")  # a process's number comes again in another container
    try:
        new.symlink_to(target)
        new.replace(link)
    except IsADirectoryError:
        raise CxrError(
            f"{link}: is a folder where a link belongs, as copies are that follow links (cp -L, zip); move it away, then run again"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise CxrError(
            f"{link.parent}: this file system takes no symbolic links, as exFAT and some network's disks do not ({error.strerror}); name a "
            "workspace on another one with --workspace"
        ) from None
    finally:
        new.unlink(missing_ok=True)


def _taken(file: IO[str], how: int = fcntl.LOCK_EX) -> bool:
    """Takes the lock, for itself or with others who only look, unless somebody holds it."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def feature_cache_of(root: Path) -> Path:
    """Returns where a workspace keeps features of frozen backbones, unless the configuration names another folder."""
    return root.absolute() / ".cache" / "features"


def workspace_of(version: Path) -> Workspace:
    """Returns the workspace that a version lies in, `<root>/<pipeline>/serving_models/<model>/<version>`, or would lie in."""
    home = version.absolute().parent.parent.parent  # of a folder just below the root too
    return Workspace(home.parent, home.name)


def made_at(uri: str) -> tuple[Path, PurePath] | None:
    """Returns the pipeline's folder that an artifact was made in, and the artifact's folder below it; None: it lies as none of a pipeline.

    Args:
      uri: As ML Metadata has it, of a workspace that was moved since too; of a value: the file in the artifact's folder.
    """
    path = PurePath(uri)
    for top in path.parents:
        below = path.relative_to(top).parts[: _BELOW.get(top.name, 0)]
        if below and len(below) == _BELOW[top.name] and ".." not in below:
            return Path(top.parent), PurePath(top.name, *below)
    return None


def execution_folders(root: Path) -> Iterator[Path]:
    """Yields what lies where TFX writes artifacts, `<node>/<output>/<execution>`.

    Args:
      root: TFX's pipeline root.
    """
    return (folder for folder in root.glob("*/*/*") if folder.name.isdecimal())


def all_runs(root: Path, pipeline: str | None = None) -> list[Path]:
    """Returns the folders of the runs of a workspace, of all its pipelines or of one; the newest last."""
    folders = Path(root).glob(f"{pipeline or '*'}/runs/*/")
    return sorted((folder for folder in folders if folder.name != LATEST), key=lambda folder: folder.name)


def _began(name: str) -> datetime | None:
    try:
        return datetime.strptime(f"{name}000", _RUN_NAME)
    except ValueError:  # not ours
        return None

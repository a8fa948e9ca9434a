"""Object store and metadata store of the simulation."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMES = {"gs://": "gcs", "minio://": "minio", "s3://": "s3"}


class SimulationError(Exception):
    """What KFP's driver, launcher or API server would report."""


@dataclass
class ObjectStore:
    """Objects below one folder of this machine. It holds files only: folders without files do not exist."""

    root: Path

    def upload(self, local: Path, uri: str) -> bool:
        """Copies a file, or all files below a folder; False where there is nothing."""
        if local.is_file():
            files = {self._path(uri): local}
        else:
            files = {self._path(uri) / file.relative_to(local): file for file in local.rglob("*") if file.is_file()}
        for target, source in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return bool(files)

    def download(self, uri: str, local: Path) -> None:
        """Copies all objects below a URI; nothing at all where there are none."""
        source = self._path(uri)
        if source.is_file():
            local.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, local)
        for file in source.rglob("*"):
            if file.is_file():
                target = local / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)

    def _path(self, uri: str) -> Path:
        return self.root / uri.replace("://", "/", 1)


@dataclass
class Artifact:
    """A registered artifact."""

    id: int
    uri: str
    schema: dict[str, Any]  # what the component declared; the metadata store does not give it back
    metadata: dict[str, Any]

    def as_input(self) -> dict[str, Any]:
        """The RuntimeArtifact that a later task gets: the type is lost, lists and structs come wrapped."""
        return {
            "name": str(self.id),
            "type": {"instanceSchema": ""},
            "uri": self.uri,
            "metadata": {
                **{key: _wrapped(value) for key, value in self.metadata.items()},
                "display_name": f"artifact-{self.id}",
                "store_session_info": "{}",
            },
        }


@dataclass
class MetadataStore:
    """Artifacts by id, and the results that the cache can give."""

    artifacts: dict[int, Artifact] = field(default_factory=dict)
    cache: dict[str, tuple[dict[str, int], dict[str, Any]]] = field(default_factory=dict)  # key: output artifacts, output parameters
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def register(self, uri: str, schema: dict[str, Any], metadata: dict[str, Any]) -> Artifact:
        """Adds an artifact.

        Raises:
          SimulationError: A null in the metadata, which KFP's converter does not know.
        """
        check_metadata(metadata)
        with self._lock:
            artifact = Artifact(len(self.artifacts) + 1, uri, schema, metadata)
            self.artifacts[artifact.id] = artifact
        return artifact

    def find(self, uri: str, schema: dict[str, Any], metadata: dict[str, Any]) -> Artifact | None:
        """Returns the artifact that an importer takes where it may not import anew."""
        with self._lock:
            same = [a for a in self.artifacts.values() if (a.uri, a.schema, a.metadata) == (uri, schema, metadata)]
        return same[-1] if same else None


def check_metadata(metadata: dict[str, Any]) -> None:
    """Raises what KFP's converter of metadata would."""
    for key, value in metadata.items():
        if value is None:
            raise SimulationError(f"metadata {key!r}: unknown type <nil>: null values are not supported")


def local_path(uri: str, root: Path) -> Path | None:
    """Folder or file that the launcher gives a URI in a container whose `/` is `root`; None for an unknown scheme."""
    for scheme, folder in SCHEMES.items():
        if uri.startswith(scheme):
            return root / folder / uri.removeprefix(scheme)
    return None


def _wrapped(value: Any) -> Any:
    if isinstance(value, list):
        return {"list": value}
    if isinstance(value, dict):
        return {"struct": value}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

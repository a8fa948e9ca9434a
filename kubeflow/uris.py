"""Artifact URIs and the folders that KFP's launcher gives them inside a container."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from cxr.core.errors import UsageError

SCHEMES = {"gs://": "gcs", "s3://": "s3", "minio://": "minio"}  # URI: folder, below the container's root
DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"  # where an installation of KFP keeps artifacts unless it was told otherwise
ROOT_VARIABLE = "CXR_KUBEFLOW_ROOT"  # the container's root where it is not "/": only the launcher simulation sets it


def is_object_store(uri: str) -> bool:
    """Tells whether KFP's launcher and importer know the URI's scheme."""
    return uri.startswith(tuple(SCHEMES))


def check_place(place: str, named: str) -> None:
    """Refuses what pods could not read.

    Args:
      place: Of data.
      named: The setting and what it says, for the message.

    Raises:
      UsageError: It is neither an absolute path, as of a volume, nor a URI of an object store.
    """
    if not (place.startswith("/") or is_object_store(place)):
        *others, last = SCHEMES
        raise UsageError(f"{named}: neither an absolute path on a volume nor {', '.join(others)} or {last}")


def bucket_of(uri: str) -> str:
    """Returns scheme and bucket (`gs://bucket`); empty for anything but an object store's URI."""
    if not is_object_store(uri):
        return ""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.split('/')[0]}"


def local_path(uri: str) -> str:
    """Returns the folder or file that the launcher downloads a URI to, or uploads from; anything but an object store's URI as it is."""
    for scheme, folder in SCHEMES.items():
        if uri.startswith(scheme):
            return f"{_root()}/{folder}/{uri.removeprefix(scheme)}"
    return uri


def artifact_uri(path: str) -> str:
    """The inverse of `local_path`."""
    for scheme, folder in SCHEMES.items():
        prefix = f"{_root()}/{folder}/"
        if path.startswith(prefix):
            return scheme + path.removeprefix(prefix)
    return path


def run_and_task(place: str) -> tuple[str, str]:
    """Returns the run's id and the name of the task that an output is of, by its URI or path: <root>/<run>/<task>/<unique>/<output>."""
    *_, run, task, _, _ = PurePosixPath(place).parts
    return run, task


def _root() -> str:
    return os.environ.get(ROOT_VARIABLE, "").rstrip("/")

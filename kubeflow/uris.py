"""Artifact URIs and the folders that KFP's launcher gives them inside a container."""

from __future__ import annotations

import os

SCHEMES = {"gs://": "gcs", "minio://": "minio", "s3://": "s3"}  # URI: folder, below the container's root
ROOT_VARIABLE = "CXR_KUBEFLOW_ROOT"  # the container's root where it is not "/": only the launcher simulation sets it


def is_object_store(uri: str) -> bool:
    """Tells whether KFP's launcher and importer know the URI's scheme."""
    return uri.startswith(tuple(SCHEMES))


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


def _root() -> str:
    return os.environ.get(ROOT_VARIABLE, "").rstrip("/")

"""`python -m cxr.kubeflow.fingerprint DATA FILE`: the first task of every run, so that KFP's cache knows the data's content.

KFP's own key holds the data's URI only. This task is never cached; the hash that it writes is a parameter of ExampleGen, hence part of the
key. It is taken from the files' names and contents, for `gs://` data that Beam reads itself from names, sizes and checksums.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from cxr.core import fingerprints
from cxr.core.errors import CxrError
from cxr.kubeflow.task_status import status_of
from cxr.kubeflow.uris import check_place, is_object_store, local_path


def data_fingerprint(data: str) -> str:
    """Returns the fingerprint of all files below a folder.

    Args:
      data: An absolute path, or a URI of an object store, of which the launcher has made a copy; of gs:// that Dataflow's workers read
        themselves there is none, and it is asked through Beam's filesystem.

    Raises:
      CxrError: There is no such folder, or no file in it.
    """
    folder = Path(local_path(data))
    if data.startswith("gs://") and not folder.is_dir():
        return _remote(data)
    if is_object_store(data) and not folder.is_dir():
        raise CxrError(f"data {data}: KFP's launcher found nothing there; is the path right, and did `cxr ingest` write there?")
    check_place(data, f"data {data!r}")
    if not any(path.is_file() for path in folder.rglob("*")):
        raise CxrError(f"data {data}: no files; is the volume mounted, and did `cxr ingest` write there?")
    return fingerprints.of_folder(folder)


def _remote(data: str) -> str:
    from apache_beam.io.filesystems import FileSystems

    (found,) = FileSystems.match([f"{data.rstrip('/')}/**"])
    if not found.metadata_list:
        raise CxrError(f"data {data}: no files there")
    digest = hashlib.sha256()
    for file in sorted(found.metadata_list, key=lambda file: file.path):
        digest.update(f"{file.path}\0{file.size_in_bytes}\0{FileSystems.checksum(file.path)}\0".encode())
    return digest.hexdigest()


def run(data: str, output: str) -> None:
    """Writes the fingerprint of data into a file.

    Raises:
      CxrError: There are no data, or they cannot be read.
    """
    value = data_fingerprint(data)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(value, encoding="utf-8")
    print(f"{data}: {value}")


def main(argv: list[str]) -> int:
    """Runs the task; `argv` holds data and output."""
    return status_of("fingerprint of the data", lambda: run(*argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What became of each image: lines of JSON that workers write and the planning machine adds up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

RESULTS = "results"  # folder below the output with one file per shard; removed at the end
STARTED, DONE = ".part", ".jsonl"


@dataclass(slots=True)
class Outcome:
    """What became of one image: its content hash, or the reason why it is left out.

    Attributes:
      number: Of the row. No name and no path: these lines lie in the output folder, and stay there when a process is killed.
      patient: Pseudonym.
      content_hash: SHA-256 (hex) of size and pixels, as in the record.
      file_hash: SHA-256 (hex) of the file, empty where it could not be read.
    """

    number: int
    label: str
    patient: str
    content_hash: str = ""
    file_hash: str = ""
    reason: str = ""
    detail: str = ""


def line(outcome: Outcome) -> bytes:
    """Returns the JSON line of one outcome."""
    return json.dumps([getattr(outcome, name) for name in Outcome.__slots__]).encode() + b"\n"


def read_outcomes(out: str) -> Iterator[tuple[str, Outcome]]:
    """Yields (split, outcome) of every image of finished shards, in a fixed order."""
    from apache_beam.io.filesystems import FileSystems

    found = FileSystems.match([FileSystems.join(out, RESULTS, f"*{DONE}")])[0].metadata_list
    for path in sorted(item.path for item in found):
        split = os.path.basename(path).partition("-")[0]
        with FileSystems.open(path, compression_type="uncompressed") as stream:
            for text in stream.read().splitlines():
                yield split, Outcome(*json.loads(text))

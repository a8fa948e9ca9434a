"""Copies shards of records as they are.

TFX's executor takes the records out of their files, shuffles them and writes new files. Beam's local runner holds what it shuffles, four to
five times over: 2.3 GB for records of 600 MB. `cxr ingest` has dealt and shuffled the records already, so whole files go through: one at a
time per worker, checked on the way, however many there are. Shards stay shards, and what comes next is shared out among workers by them.
"""

from __future__ import annotations

import gzip
import os
import zlib
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.components.example_gen import write_split
from tfx.components.example_gen.import_example_gen import executor
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from cxr.core.errors import CxrError

_CHUNK = 1 << 20  # bytes that are decompressed at once


class Executor(executor.Executor):
    """Copies the files of every input split."""

    def Do(
        self, input_dict: dict[str, list[types.Artifact]], output_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
    ) -> None:
        """Makes the examples.

        Raises:
          CxrError: A split without files, or a damaged file.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = example_gen_pb2.Input()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
        (examples,) = output_dict[standard_component_specs.EXAMPLES_KEY]
        examples.split_names = artifact_utils.encode_split_names([split.name for split in config.splits])
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP))
        base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        if os.path.islink(base):  # the workspace's: messages name what it leads to
            base = os.path.realpath(base)
        copies = [
            pair
            for split in config.splits
            for pair in _copies(f"{base}/{split.pattern}", artifact_utils.get_split_uri([examples], split.name))
        ]
        with self._make_beam_pipeline() as pipeline:
            _ = pipeline | "Shards" >> beam.Create(copies) | "ToAllWorkers" >> beam.Reshuffle() | "Copy" >> beam.MapTuple(copy_shard)


def copy_shard(source: str, target: str) -> None:
    """Copies a gzip-compressed file, if it is whole.

    Args:
      source: URI of the file.
      target: URI of the copy.

    Raises:
      CxrError: The file is damaged or cut off.
    """
    try:
        with fileio.open(source, "rb") as stream, gzip.GzipFile(fileobj=stream) as content:
            if not content.read(_CHUNK):
                raise EOFError("it is empty")
            while content.read(_CHUNK):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise CxrError(f"{source}: is damaged ({error}); copy it again, or make the records again with `cxr ingest`") from None
    fileio.copy(source, target, overwrite=True)


def _copies(pattern: str, folder: str) -> list[tuple[str, str]]:
    """Pairs each file of a split with its copy."""
    files = sorted(fileio.glob(pattern))
    if not files:
        raise CxrError(f"{pattern}: no records; make them again with `cxr ingest`")
    fileio.makedirs(folder)
    return [(file, f"{folder}/{write_split.DEFAULT_TF_RECORD_FILE_NAME}-{n:05d}-of-{len(files):05d}.gz") for n, file in enumerate(files)]

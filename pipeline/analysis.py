"""A TransformGraph artifact without a pipeline run: for cross-validation and benchmarks, which need what trainers need."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx_bsl.public import tfxio

from cxr.core import beam_options
from cxr.data.beam_errors import told_once
from cxr.pipeline.schema import curated_schema
from cxr.trainer.preprocessing import preprocessing_fn


def write_transform_graph(records: Sequence[str], folder: str, custom_config: dict[str, Any]) -> None:
    """Analyses records as the Transform component does.

    Args:
      records: Files or patterns of raw examples (.tfrecord.gz).
      folder: Artifact to write; temporary files lie beside it meanwhile.
      custom_config: See `preprocessing_fn`.
    """
    beside = Path(folder).parent  # not TMPDIR: the folder's own disk is the one that an error names
    beside.mkdir(parents=True, exist_ok=True)
    schema = curated_schema(tuple(custom_config["class_names"]))
    source = tfxio.TFExampleRecord(list(records), schema=schema)
    with (
        tempfile.TemporaryDirectory(prefix=".analysis-", dir=beside) as temporary,
        told_once(),
        beam.Pipeline(argv=list(beam_options.local(1))) as pipeline,
        tft_beam.Context(temp_dir=temporary),
    ):
        data = (pipeline | source.BeamSource(), source.TensorAdapterConfig())
        graph = data | tft_beam.AnalyzeDataset(functools.partial(preprocessing_fn, custom_config=custom_config))
        _ = graph | tft_beam.WriteTransformFn(folder)
        _ = dataset_metadata.DatasetMetadata(schema) | tft_beam.WriteMetadata(f"{folder}/metadata", pipeline)

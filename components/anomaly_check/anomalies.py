"""Reads what ExampleValidator found."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import anomalies_pb2

from cxr.core.damaged_artifact import reading
from cxr.core.places import ANOMALIES, by_split


def describe_anomalies(folder: str) -> list[str]:
    """Returns one sentence per anomaly in an ExampleAnomalies artifact, over all its splits; none where the data fit the schema.

    Args:
      folder: URI of the artifact (`Split-<name>/SchemaDiff.pb` below it).

    Raises:
      FileNotFoundError: The artifact holds no split.
      CxrError: It is damaged.
    """
    files = by_split(folder, ANOMALIES)
    if not files:
        raise FileNotFoundError(f"{folder}: no {ANOMALIES}: not the output of ExampleValidator")
    with reading(folder):
        found = {split: anomalies_pb2.Anomalies.FromString(file.read_bytes()) for split, file in files.items()}
    return [sentence for split, anomalies in found.items() for sentence in sentences_of(anomalies, f"split {split}")]


def sentences_of(anomalies: anomalies_pb2.Anomalies, data: str) -> list[str]:
    """Returns one sentence per anomaly.

    Args:
      anomalies: Of one set of examples.
      data: What they are called.
    """
    found = []
    if anomalies.HasField("dataset_anomaly_info"):
        found.append(f"{data}: {_text(anomalies.dataset_anomaly_info)}")
    if anomalies.data_missing:
        found.append(f"{data}: holds no example")
    return found + [f"{data}, feature {name}: {_text(info)}" for name, info in sorted(anomalies.anomaly_info.items())]


def _text(info: anomalies_pb2.AnomalyInfo) -> str:
    return f"{info.short_description}: {info.description}"

"""Where files lie that one room writes and others look for: each name once. What lies in a Model artifact besides: trainer/artifact.py."""

from __future__ import annotations

from pathlib import Path

RECORDS_SUFFIX = ".tfrecord.gz"  # of the files of raw examples that `cxr ingest` writes, in a folder for each split
SERVING = "Format-Serving"  # folder of the SavedModel in a Model artifact; the name that TFX's Evaluator and Pusher look for
SAVED_MODEL = "saved_model.pb"  # the file that makes a folder a SavedModel
EXTRA = "assets.extra"  # folder in a SavedModel for what is not TensorFlow's; TensorFlow Serving knows it too
WARM_UP = f"{EXTRA}/tf_serving_warmup_requests"  # below a SavedModel; the name that TensorFlow Serving looks for

_SPLIT = "Split-"  # what TFX's folders of a split begin with
SPLITS = f"{_SPLIT}*"  # in an Examples artifact
STATISTICS = f"{SPLITS}/FeatureStats.pb"  # in an ExampleStatistics artifact
ANOMALIES = f"{SPLITS}/SchemaDiff.pb"  # in an ExampleAnomalies artifact


def records_in(folder: str) -> str:
    """Returns the pattern of the records of a split.

    Args:
      folder: The split's, absolute or below that of the data.
    """
    return f"{folder}/*{RECORDS_SUFFIX}"


def split_folder(artifact: str | Path, split: str) -> Path:
    """Returns where an artifact keeps what belongs to a split.

    Args:
      artifact: Its folder.
      split: Name of the split.
    """
    return Path(artifact, f"{_SPLIT}{split}")


def by_split(artifact: str | Path, what: str) -> dict[str, Path]:
    """Returns what an artifact keeps of each split, in the order of the splits' names; empty where there is none.

    Args:
      artifact: Its folder.
      what: SPLITS, the folders themselves; STATISTICS or ANOMALIES, a file in each.
    """
    found = sorted(Path(artifact).glob(what))
    return {path.relative_to(artifact).parts[0].removeprefix(_SPLIT): path for path in found}

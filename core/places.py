"""Where files lie that one room writes and others look for: each name once. What lies in a Model artifact besides: trainer/artifact.py."""

from __future__ import annotations

from pathlib import Path

RECORDS_SUFFIX = ".tfrecord.gz"  # of the files of raw examples that `cxr ingest` writes, in a folder for each split
SERVING = "Format-Serving"  # folder of the SavedModel in a Model artifact; the name that TFX's Evaluator and Pusher look for
SAVED_MODEL = "saved_model.pb"  # the file that makes a folder a SavedModel
EXTRA = "assets.extra"  # folder in a SavedModel for what is not TensorFlow's; TensorFlow Serving knows it too
WARM_UP = f"{EXTRA}/tf_serving_warmup_requests"  # below a SavedModel; the name that TensorFlow Serving looks for

STATISTICS = "Split-*/FeatureStats.pb"  # of a split, in an ExampleStatistics artifact


def records_in(folder: str) -> str:
    """Returns the pattern of the records of a split.

    Args:
      folder: The split's, absolute or below that of the data.
    """
    return f"{folder}/*{RECORDS_SUFFIX}"


def statistics_files(artifact: str | Path) -> dict[str, Path]:
    """Returns the statistics of each split, in the order of the splits' names; empty where there are none.

    Args:
      artifact: Folder of an ExampleStatistics artifact.
    """
    return {file.parent.name.removeprefix("Split-"): file for file in sorted(Path(artifact).glob(STATISTICS))}

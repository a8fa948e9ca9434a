"""New data of which nobody says what they show: images without labels, and logs of the requests that a server answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.data.ingest.dataset import DATASET
from cxr.data.ingest.ingest_config import Ingest, Spelling, dotted
from cxr.data.ingest.rows import Row
from cxr.data.ingest.sources import states_labels
from cxr.pipeline.outside.images import NOTHING_PRIVATE, LabelledImages, Private, read_rows
from cxr.pipeline.outside.labelled import existing, is_log, open_labelled, read_source, refuse_settings
from cxr.trainer.feature_cache.shards import key

if TYPE_CHECKING:
    from tensorflow_serving.apis import prediction_log_pb2

NO_LABELS = "no labels (no column 'label', no folder named like a class): the labels, and copies under another label, were not checked"
Asked = tuple[Row, bytes, bool | None]  # a `Given` with the picture itself
NOT_IN_LOGS = (
    "logs hold only pictures and answers: label, source, view, sex and age were not checked; each picture counts as a patient of its own"
)


def open_new(
    data: str, split: str | None, config: Ingest, spelled: Spelling = dotted, private: Private = NOTHING_PRIVATE
) -> LabelledImages:
    """Opens new data, with or without labels; no image is read yet.

    Args:
      data: As `open_labelled` takes it; a manifest without the column `label`; a folder of images in which no folder is called like a class
        or a split; a log of requests, or a folder of such.
      split: See there.
      config: See there.
      spelled: See there.
      private: See there.

    Raises:
      UsageError: No such data, no such split in them, or settings that records and logs cannot obey.
      CxrError: The source is unusable, or a log is damaged.
    """
    path = existing(data)
    if (path / DATASET).is_file():
        return open_labelled(data, split, config, spelled, private)
    if is_log(path):
        refuse_settings(data, "logs of requests", config, spelled)
        return _logs(path, config, private)
    if states_labels(path, config.class_names):
        return open_labelled(data, split, config, spelled, private)
    found = read_source(path, split, config, spelled, private, labels=False)
    found.notes += (NO_LABELS,)
    return found


def _logs(path: Path, config: Ingest, private: Private) -> LabelledImages:
    files = sorted(path.glob(f"*{features.REQUEST_LOG_SUFFIX}")) if path.is_dir() else [path]
    asked = [key(picture) for _, picture, _ in _requested(files)]
    different = len(set(asked))
    if not different:
        raise CxrError(f"{path}: holds no picture; a server shows a log once it is full or the server has ended")
    notes: tuple[str, ...] = (NOT_IN_LOGS,)
    if len(asked) > different:
        notes += (f"{how_many(len(asked), 'picture')} in the requests, {different:,} different: a picture that was sent again counts once",)
    unstated = frozenset((features.LABEL, features.SOURCE, features.VIEW, features.SEX, features.AGE, features.AGE_BAND))
    lists, names = Private(lists=private.lists), [file.name for file in files]
    found = read_rows(_once(_requested(files)), different, config, notes, unstated, names, lists)
    found.patients_stated, found.key_id = False, ""
    return found


def _once(asked: Iterator[Asked]) -> Iterator[Asked]:
    """Yields of equal pictures the first.

    A page asks several models about one picture, clients ask again, and whatever watches a server sends the same one for ever. Counted as
    so many patients they would make every difference a sure one.
    """
    seen = set()
    for row, picture, flag in asked:
        if (name := key(picture)) not in seen:
            seen.add(name)
            yield row, picture, flag


def _requested(files: list[Path]) -> Iterator[Asked]:
    """Yields the pictures of all requests, each an image of its own patient."""
    for file in files:
        for number, log in enumerate(_records(file), 1):
            answer = log.predict_log.response.outputs
            flags = list(answer[features.OUTSIDE].bool_val) if features.OUTSIDE in answer else []  # as sent; a shape may announce more
            pictures = [_picture(value) for tensor in log.predict_log.request.inputs.values() for value in tensor.string_val]
            for place, picture in enumerate(pictures):
                flag = flags[place] if len(flags) == len(pictures) else None
                yield Row("", f"{file.name} record {number} {place}", f"{file.name} record", number, label=""), picture, flag


def _records(file: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    remedy = "a server shows whole files only, so that this one was changed since; remove it"
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(str(file)).as_numpy_iterator(), 1):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") != "predict_log":
                raise CxrError(f"{file} record {number}: no Predict request; name logs of `cxr serve --log-requests`")
            yield log
    except tf.errors.OpError as error:
        said = error.message.partition("}} ")[2].partition(" [Op:")[0] or error.message  # without the name of TensorFlow's operation
        raise CxrError(f"{file}: is damaged ({said}); {remedy}") from None
    except DecodeError:
        raise CxrError(f"{file}: holds no PredictionLog; name logs of `cxr serve --log-requests`") from None


def _picture(value: bytes) -> bytes:
    """Returns an encoded picture; that of a tf.Example where it is one."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    from cxr.data.images import reader

    if reader.is_image(value[: reader.HEAD_BYTES]):
        return value
    try:
        found = tf.train.Example.FromString(value).features.feature
    except DecodeError:
        return value  # the reader says what is wrong with it
    return found[features.IMAGE].bytes_list.value[0] if features.IMAGE in found and found[features.IMAGE].bytes_list.value else value

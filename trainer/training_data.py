"""What a model says about the images it was trained on: counts, a fingerprint, and keys that tell whether a picture was among them.

The keys are eight bytes per picture, made of the hash of its pixels. Nobody can get a picture, a patient or a path from them; who has a
picture can tell whether it was trained on, and that is what they are for: a model must not be judged on images that it has seen.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import fingerprints
from cxr.core.errors import CxrError
from cxr.core.places import EXTRA
from cxr.trainer import files
from cxr.trainer.model_info import INFO, ModelInfo, TrainingData
from cxr.trainer.splits import Split

_DTYPE = np.dtype("<u8")
TRAINING_IMAGES = f"{EXTRA}/training_images.npy"  # below the SavedModel
Keys = npt.NDArray[np.uint64]  # sorted, each once


def image_keys(content_hash: Iterable[str]) -> Keys:
    """Returns the keys of pictures, sorted, each once.

    Args:
      content_hash: Feature CONTENT_HASH of each.
    """
    digests = {fingerprints.of_image(value) for value in content_hash}
    return np.sort(np.frombuffer(b"".join(digests), dtype=_DTYPE))


def keys_of(splits: Iterable[Split]) -> Keys:
    """Returns the keys of the images of splits, as `image_keys` does."""
    return image_keys(np.concatenate([split.content_hash for split in splits]))


def save_training_images(saved_model: str, keys: Keys) -> None:
    """Keeps the keys of the images that a model was trained on and chosen by (training and validation split) with its SavedModel."""
    buffer = io.BytesIO()
    np.save(buffer, keys.astype(_DTYPE), allow_pickle=False)
    files.write_bytes(f"{saved_model.rstrip('/')}/{TRAINING_IMAGES}", buffer.getvalue())


def load_training_images(saved_model: str, data: TrainingData | None) -> Keys | None:
    """Reads what `save_training_images` wrote; None: an older version kept none.

    Args:
      saved_model: Its folder.
      data: What its model.json says of these images.

    Raises:
      CxrError: The file is damaged, or cannot be read.
    """
    path = f"{saved_model.rstrip('/')}/{TRAINING_IMAGES}"
    if not tf.io.gfile.exists(path):
        return None
    try:
        keys = np.load(io.BytesIO(files.read_bytes(path)), allow_pickle=False)
    except Exception as error:  # TensorFlow's, or of a damaged header what NumPy does not list
        raise _damaged(path, str(error)) from None
    if not (isinstance(keys, np.ndarray) and keys.dtype == _DTYPE and keys.ndim == 1 and np.all(keys[:-1] < keys[1:])):
        raise _damaged(path, "not eight bytes for each image, ascending")
    if data and data.keys_hash not in ("", hash_of(keys)):  # one other key, and an image that was trained on is taken for a new one
        raise _damaged(path, f"not those whose hash stands in {INFO}")
    return keys


def hash_of(keys: Keys) -> str:
    """Returns a hash (hex) of keys, by which `load_training_images` notices that they are not those that were written."""
    return fingerprints.of_parts([keys])


def _damaged(path: str, reason: str) -> CxrError:
    return CxrError(f"{path}: not a list of image keys ({reason}); put a copy back, or use another version")


def training_data(splits: Mapping[str, Split], class_names: Sequence[str]) -> TrainingData:
    """Describes the splits that a model is trained on and chosen by.

    Args:
      splits: Name to images.
      class_names: In the order of the labels.
    """
    digest = hashlib.sha256()
    images: dict[str, dict[str, int]] = {}
    for name, split in splits.items():
        counts = np.bincount(split.labels, minlength=len(class_names))
        images[name] = {label: int(count) for label, count in zip(class_names, counts, strict=True)}
        digest.update(f"{name}\0".encode())
        for content_hash, label in zip(split.content_hash, split.labels, strict=True):  # sorted by read_split
            digest.update(f"{content_hash} {class_names[label]}\0".encode())
    return TrainingData(
        fingerprint=digest.hexdigest(),
        images=images,
        synthetic=sum(split.synthetic for split in splits.values()),
        sources=_sources(splits.values()),
        keys_hash=hash_of(keys_of(splits.values())),
    )


def _sources(splits: Iterable[Split]) -> dict[str, dict[str, int]]:
    """Counts the images of each collection by their license."""
    pairs = Counter((str(source), str(terms)) for split in splits for source, terms in zip(split.sources, split.licenses, strict=True))
    found: dict[str, dict[str, int]] = {}
    for (source, terms), images in sorted(pairs.items()):
        found.setdefault(source, {})[terms] = images
    return found


def joint_data(members: Sequence[ModelInfo], keys: Keys | None) -> dict[str, Any]:
    """Returns an ensemble's keys of model.json: its members' data, which `ensemble.align` has found to be the same.

    Args:
      members: At least one.
      keys: Of `joint_training_images`.
    """
    first = members[0]
    known: dict[str, Any] = {"code_version": first.code_version}
    if any(info.synthetic for info in members):  # one is enough, whatever the others say
        known["synthetic"] = True
    elif all(info.synthetic is not None for info in members):
        known["synthetic"] = False
    if first.data:
        known["data"] = first.data.model_dump(mode="json") | {"keys_hash": "" if keys is None else hash_of(keys)}
    return known


def joint_training_images(members: Mapping[str, ModelInfo]) -> Keys | None:
    """Returns the keys of all images that one of the members was trained on.

    Args:
      members: Folder of the SavedModel to its description.

    Returns: None where a member kept none: then nobody knows.
    """
    keys = [load_training_images(folder, info.data) for folder, info in members.items()]
    known = [array for array in keys if array is not None]
    return np.unique(np.concatenate(known)) if known and len(known) == len(keys) else None

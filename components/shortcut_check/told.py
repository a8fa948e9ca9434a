"""What models answered to masked pictures: kept with a member's blessing, joined for the ensemble."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from cxr.core.errors import CxrError
from cxr.data.audit.records import Pictures
from cxr.data.audit.regions import Masked
from cxr.trainer.ensemble.joint_answers import joint_answers

PARTS: tuple[Masked, ...] = get_args(Masked)
Told = Mapping[Masked, npt.NDArray[np.float32]]  # blacked-out part: probabilities [images, classes]
_FILE = "masked_answers.npz"
_ASKED = "asked"  # in it: which pictures, beside an array for each part


def save_told(told: Told, pictures: Pictures, folder: Path) -> None:
    """Keeps a member's answers in its blessing's folder, for the ensemble."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {str(part): answers for part, answers in told.items()}
    np.savez_compressed(folder / _FILE, **(arrays | {_ASKED: _digest(pictures)}))


def join_told(model: str, folders: Sequence[Path], pictures: Pictures) -> Told:
    """Returns what an ensemble answers, from what its members have answered.

    Args:
      model: URI of the ensemble's Model artifact.
      folders: The members' blessings, in the order in which they were joined.
      pictures: That they were asked about.

    Raises:
      CxrError: A member was not asked, or about other pictures.
    """
    members = [_load_told(folder, pictures) for folder in folders]
    return {part: joint_answers(model, [told[part] for told in members]) for part in PARTS}


def _load_told(folder: Path, pictures: Pictures) -> Told:
    try:
        with np.load(folder / _FILE, allow_pickle=False) as kept:
            asked, told = str(kept[_ASKED]), {part: kept[part] for part in PARTS}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CxrError(f"{folder / _FILE}: not the answers of a member of the ensemble ({error}); run again with --no-cache") from None
    if asked != _digest(pictures):
        raise CxrError(f"{folder / _FILE}: the member was asked about other pictures; run again with --no-cache")
    return told


def _digest(pictures: Pictures) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(encoded).digest() for encoded in pictures.encoded)).hexdigest()

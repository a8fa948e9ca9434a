"""Asks an exported model about pictures without lungs, and about lungs without the rest.

A model that is right without the lungs does not need them (Maguolo and Nanni, Information Fusion 76, 2021: with the centre black, networks
told the collection as well as before). Parts are blacked out in the picture, before everything that the model does with it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.components.shortcut_check.told import PARTS, Told
from cxr.components.shortcut_check.verdict import SEEN, MaskedAnswers
from cxr.core import features, progress
from cxr.core.counts import how_many
from cxr.data.audit.audit import figures_of
from cxr.data.audit.records import Pictures
from cxr.data.audit.regions import Masked, blacked_out
from cxr.data.audit.tables import decode
from cxr.trainer.export.session import opened

BATCH = 16


def ask_masked(model: str, saved_model: str, pictures: Pictures, class_names: Sequence[str]) -> Told:
    """Asks a model about masked pictures, once for each part that is blacked out.

    Args:
      model: Its name.
      saved_model: Folder of the SavedModel; its signature `image_bytes` is asked.
      pictures: Of the gate's split, or some of them.
      class_names: In the order of the probabilities.
    """
    found: dict[Masked, npt.NDArray[np.float32]] = {}
    with opened(saved_model) as (session, signatures):
        signature = signatures[features.SIGNATURE_BYTES]
        asked, answer = signature.inputs[features.SIGNATURE_BYTES].name, signature.outputs[features.PROBABILITIES].name
        for number, part in enumerate(PARTS):
            told = np.zeros((len(pictures.encoded), len(class_names)), np.float32)
            for first in range(0, len(told), BATCH):
                batch = [masked(encoded, part) for encoded in pictures.encoded[first : first + BATCH]]
                told[first : first + BATCH] = session.run(answer, {asked: np.array(batch, object)})
                progress.report(f"{model}, {SEEN[part]}", number * len(told) + first + len(batch), len(PARTS) * len(told))
            found[part] = told
    return found


def summaries(model: str, told: Told, pictures: Pictures, class_names: Sequence[str]) -> tuple[MaskedAnswers, ...]:
    """Returns how often a model is right about masked pictures, once for each part that is blacked out.

    Args:
      model: Its name.
      told: Its answers.
      pictures: That it was asked about.
      class_names: In the order of the probabilities.
    """
    return tuple(_summary(model, part, answers, pictures, class_names) for part, answers in told.items())


def masked(encoded: bytes, part: Masked) -> bytes:
    """Returns an encoded picture (PNG or JPEG) with a part blacked out, as PNG."""
    file = io.BytesIO()
    Image.fromarray(blacked_out(decode(encoded), part)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _summary(model: str, part: Masked, told: npt.NDArray[np.float32], pictures: Pictures, class_names: Sequence[str]) -> MaskedAnswers:
    measured, _ = figures_of(told.astype(np.float64), pictures.labels, pictures.patients, class_names)
    most_frequent = float(np.bincount(pictures.labels).max() / len(pictures.labels))
    return MaskedAnswers(
        blacked_out=part,
        images=measured.images,
        patients=measured.patients,
        accuracy=measured.accuracy,
        balanced_accuracy=measured.balanced_accuracy,
        most_frequent=most_frequent,
        verdict=f"{SEEN[part]}, {model} is right on {measured.accuracy} of {how_many(measured.images, 'image')}; "
        f"always predicting the most frequent class would be right on {most_frequent:.3f}",
    )

"""DICOM files: from stored values to grey pixels, and the four facts about a patient that ingest asks for."""

from __future__ import annotations

import io
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

from cxr.trainer.errors import CxrError
from cxr.trainer.image_errors import ImageError, NotAnImage, SeveralFrames, Truncated, Unreadable
from cxr.trainer.images import check_size, to_8_bit

FACTS = ("PatientID", "PatientSex", "PatientAge", "ViewPosition")  # no other tag about a person is ever read


class Facts(NamedTuple):
    """What a header says, raw; empty where it says nothing."""

    patient_id: str = ""
    sex: str = ""
    age: str = ""
    view: str = ""


def read_facts(stream: IO[bytes]) -> Facts:
    """Reads the header only.

    Raises:
      ImageError: Not a DICOM file, or its header is damaged.
    """
    dataset = _dataset(stream, stop_before_pixels=True, specific_tags=list(FACTS))
    patient, sex, age, view = (str(dataset.get(tag) or "").strip() for tag in FACTS)
    return Facts(patient, sex, age, view)


def read_pixels(stream: IO[bytes], max_pixels: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes as a viewer would show it: modality LUT or rescale, VOI LUT or first window, MONOCHROME1 inverted.

    The range of values that then remains becomes 0 to 255, padding left aside; 8-bit pixels that nothing changed stay as they are.

    Returns:
      uint8 [height, width], and the stored height and width.

    Raises:
      ImageError: Not usable.
    """
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

    dataset = _dataset(stream)
    height, width = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if not height or not width or "PixelData" not in dataset:
        raise NotAnImage("a DICOM file without a picture")
    check_size(height, width, max_pixels)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise SeveralFrames(f"holds {frames} frames; save the one that is meant")
    try:
        stored = pixel_array(dataset)
        photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
        if photometric == "PALETTE COLOR":
            stored = apply_color_lut(stored, dataset)
        if stored.ndim == 3:
            return np.array(Image.fromarray(stored if stored.dtype == np.uint8 else to_8_bit(stored)).convert("L")), (height, width)
        values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
        if stored.dtype == np.uint8 and np.array_equal(values, stored):
            grey = stored.copy()
        else:
            shown = ~_padding(stored, dataset)
            grey = to_8_bit(values, *((float(values[shown].min()), float(values[shown].max())) if shown.any() else ()))
        if photometric == "MONOCHROME1":
            grey = 255 - grey
        grey[_padding(stored, dataset)] = 0  # no picture there: black, inverted or not
        return grey, (height, width)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders, LUTs and headers fail in their own ways
        raise _classified(error, dataset) from error


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Tells which pixels lie outside the picture (PS3.3 C.7.5.1.1.2). Returns bool [height, width]."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return (stored >= low) & (stored <= high)


def _dataset(stream: IO[bytes], **options: Any) -> Any:
    try:
        import pydicom
    except ImportError:
        raise CxrError("reading DICOM needs pydicom; install the extra: pip install 'cxr-pipeline[dicom]'") from None
    from pydicom.uid import ImplicitVRLittleEndian

    try:
        dataset = pydicom.dcmread(stream, force=True, **options)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # files without a header: the standard's default
        return dataset
    except (EOFError, io.UnsupportedOperation) as error:
        raise Truncated(f"cannot be read as DICOM: {error}") from error
    except Exception as error:
        raise Unreadable(f"cannot be read as DICOM: {error}") from error


def _classified(error: Exception, dataset: Any) -> ImageError:
    text = f"{error}".strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if any(sign in text.lower() for sign in ("truncated", "less than expected", "unexpected end", "actual length", "not enough")):
        return Truncated(f"cannot be decoded: {text}")
    syntax = getattr(dataset.file_meta.get("TransferSyntaxUID", ""), "name", "unknown")
    return Unreadable(f"cannot be decoded ({syntax}): {text}")

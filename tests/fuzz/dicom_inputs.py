"""DICOM files with odd values: every field that decides how pixels are read, by itself plausible, together often not."""

from __future__ import annotations

import io
import warnings
from random import Random
from typing import Any

import numpy as np
import pydicom
from dicom_files import dicom_bytes
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

_PIXELS = np.random.default_rng(2).integers(0, 4096, (20, 24)).astype(np.uint16)
_COMPRESSED = (JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless)
_OTHER = (ImplicitVRLittleEndian, UID("1.2.3"))
_ODD: dict[str, tuple[Any, ...]] = {
    "Rows": (0, 1, 16, 20, 65535),
    "Columns": (0, 1, 16, 24, 65535),
    "SamplesPerPixel": (0, 1, 2, 3, 4, 65535),
    "PhotometricInterpretation": ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "PALETTE COLOR", "X" * 40),
    "PlanarConfiguration": (0, 1, 2),
    "BitsAllocated": (0, 1, 8, 12, 16, 32, 64, 65535),
    "BitsStored": (0, 1, 7, 8, 12, 16, 33, 65535),
    "HighBit": (0, 7, 11, 15, 65535),
    "PixelRepresentation": (0, 1, 2),
    "NumberOfFrames": ("0", "1", "2", "-1", "999999999"),
    "RescaleSlope": ("0", "1", "-1", "1e30", "NaN", "inf", "1e-300"),
    "RescaleIntercept": ("0", "-1024", "1e30", "NaN"),
    "WindowCenter": ("0", "40", "1e30", "NaN", ["1", "2"]),
    "WindowWidth": ("0", "1", "-5", "400", "1e-30", "NaN", ["1", "2"]),
    "VOILUTFunction": ("LINEAR", "LINEAR_EXACT", "SIGMOID", "OTHER"),
    "PixelPaddingValue": (0, 1, 65535, 4095),
    "PixelPaddingRangeLimit": (0, 1, 65535),
    "PatientAge": ("054Y", "999Y", "=1+1", "NaN", "-01Y"),
    "PatientSex": ("F", "X" * 16, "\x1b[31m"),
    "SpecificCharacterSet": ("ISO_IR 100", "ISO 2022 IR 87", "nonsense", ["", "ISO_IR 192"]),
}  # fmt: skip


def dicom_seeds() -> tuple[bytes, ...]:
    """Monochrome and colour, plain, deflated, RLE and JPEG 2000; one without preamble."""
    small = (_PIXELS // 16).astype(np.uint8)
    plain = dicom_bytes(_PIXELS)
    return (
        plain,
        plain[132:],
        dicom_bytes(small, WindowCenter="128", WindowWidth="200", RescaleSlope="1", RescaleIntercept="0"),
        dicom_bytes(np.stack([small] * 3, -1)),
        dicom_bytes(_PIXELS, DeflatedExplicitVRLittleEndian),
        dicom_bytes(_PIXELS, ImplicitVRLittleEndian),
        dicom_bytes(_PIXELS, compress=RLELossless),
        dicom_bytes(np.tile(_PIXELS, (2, 2)), compress=JPEG2000Lossless),  # the encoder takes no smaller one
        dicom_bytes(_PIXELS, VOILUTSequence=Sequence([_lut(0, 16)])),
    )


def made_dicom(rng: Random) -> bytes:
    """A file that pydicom writes, of fields drawn one by one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _made(rng)


def _made(rng: Random) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(_PIXELS)))
    with pydicom.config.disable_value_validation():
        for name in rng.sample(sorted(_ODD), rng.randint(1, 6)):
            if rng.random() < 0.15:
                if name in dataset:
                    del dataset[name]
            else:
                setattr(dataset, name, rng.choice(_ODD[name]))
        if rng.random() < 0.2:
            dataset.VOILUTSequence = Sequence([_lut(rng.choice((0, 65535)), rng.choice((0, 8, 16, 255)), rng.choice((0, 3, 4096)))])
        if rng.random() < 0.2:
            dataset.ModalityLUTSequence = Sequence([_lut(rng.choice((0, 4000)), 16, rng.choice((0, 1, 4096)))])
        if rng.random() < 0.1:
            for colour in ("Red", "Green", "Blue"):
                setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [rng.choice((0, 16, 256)), 0, rng.choice((8, 16))])
                setattr(dataset, f"{colour}PaletteColorLookupTableData", rng.randbytes(rng.choice((2, 32, 512))))
        if rng.random() < 0.3:
            length = rng.choice((0, 1, 24 * 20, 24 * 20 * 2 - 1, 24 * 20 * 6))
            dataset.PixelData = rng.randbytes(length)
        if rng.random() < 0.3:
            dataset.file_meta.TransferSyntaxUID = rng.choice((*_COMPRESSED, *_OTHER))
            if dataset.file_meta.TransferSyntaxUID in _COMPRESSED:
                dataset.PixelData = encapsulate([rng.choice(_codestreams())]) if rng.random() < 0.8 else rng.randbytes(64)
        out = io.BytesIO()
        try:
            dataset.save_as(out, enforce_file_format=False)
        except Exception:  # what pydicom cannot write at all
            return rng.choice(dicom_seeds())
    return out.getvalue()


def _lut(first: int, bits: int, entries: int = 4096) -> Dataset:
    table = Dataset()
    table.LUTDescriptor = [entries, first, bits]
    table.LUTData = list(range(min(entries, 4096)))
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
    return table


def _codestreams() -> tuple[bytes, ...]:
    """The picture of other pixels than the header says, of what a decoder knows and what it does not."""
    from PIL import Image

    found = []
    for kind, picture in (
        ("JPEG", Image.new("L", (24, 20), 9)),
        ("JPEG", Image.new("RGB", (400, 300))),
        ("JPEG2000", Image.new("L", (24, 20))),
    ):
        out = io.BytesIO()
        picture.save(out, kind)
        found.append(out.getvalue())
    return (*found, found[0][:-30], b"\xff\xd8\xff\xf7\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00", b"\0\0")

"""Fuzz targets: image files, DICOM files, masks."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from cxr.core.errors import CxrError
from cxr.data.images import dicom
from cxr.data.images.masks import read_mask
from cxr.data.images.reader import MAX_SIDE, encode, read_image

from .dicom_inputs import dicom_seeds, made_dicom
from .harness import Target

MAX_PIXELS = 2**20  # less than by default, so that what the limit lets through takes little time
_SIZE = (24, 20)


def image_target() -> Target:
    """`read_image`, which ingest, the client and the page read through."""
    return Target(_read, image_seeds())


def dicom_target() -> Target:
    """The same with DICOM files, and the reading of the header alone."""
    warnings.simplefilter("ignore")  # pydicom's remarks
    return Target(_read_dicom, dicom_seeds(), made_dicom)


def mask_target() -> Target:
    """Masks: any picture that a manifest names beside an image."""
    file = Path(tempfile.mkdtemp()) / "mask"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        with contextlib.suppress(CxrError):
            read_mask(file, 20, 24)

    return Target(run, (*image_seeds(), *_other_formats()))


def _read(data: bytes) -> None:
    for side in (MAX_SIDE, 16):
        with contextlib.suppress(CxrError):
            image = read_image(data, max_pixels=MAX_PIXELS, max_side=side)
            assert image.array.dtype == np.uint8
            assert max(image.array.shape) <= max(side, 16)
            encode(image)


def _read_dicom(data: bytes) -> None:
    _read(data)
    with contextlib.suppress(CxrError):
        dicom.read_facts(io.BytesIO(data))


def _grey() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, _SIZE, np.uint8))


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def image_seeds() -> tuple[bytes, ...]:
    """PNG, JPEG, BMP and TIFF of several depths and ways to compress, rotated by EXIF or with transparency."""
    grey = _grey()
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 200)
    colour = Image.merge("RGB", (grey, grey, grey))
    with_alpha = Image.merge("RGBA", (grey, grey, grey, grey))
    return (
        _saved(grey, "PNG"),
        _saved(deep, "PNG"),
        _saved(with_alpha, "PNG"),
        _saved(grey.convert("P"), "PNG", transparency=3),
        _saved(grey.convert("1"), "PNG"),
        _saved(grey, "JPEG", exif=turned),
        _saved(colour, "JPEG", progressive=True),
        _saved(colour.convert("CMYK"), "JPEG"),
        _saved(grey, "BMP"),
        _saved(colour, "BMP"),
        _saved(grey, "TIFF"),
        *(_saved(grey, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")),
        _saved(deep, "TIFF", compression="tiff_lzw"),
        _saved(Image.fromarray(np.asarray(grey).astype(np.float32)), "TIFF"),
        _saved(grey.convert("1"), "TIFF", compression="group4"),
        _saved(grey, "TIFF", save_all=True, append_images=[grey]),
    )


def _other_formats() -> tuple[bytes, ...]:
    """Which Pillow reads, and a mask need not be in: PostScript is a program."""
    grey = _grey()
    return tuple(_saved(grey if kind != "EPS" else grey.convert("RGB"), kind) for kind in ("EPS", "GIF", "PPM", "TGA", "SGI", "ICO", "IM"))


def made_images(rng: Random) -> bytes:
    """One of the seeds: for requests that carry a picture."""
    return rng.choice(image_seeds())

"""DICOM files: from stored values to grey pixels, what the header says against a frontal chest X-ray, and the four facts for ingest."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

from cxr.core.errors import CxrError
from cxr.core.features import MAX_PIXELS
from cxr.data.images import frontal
from cxr.data.images.decoders import JPEG, check_end, check_scans, says_truncated
from cxr.data.images.errors import ImageError, NotAnImage, SeveralFrames, TooManyPixels, Truncated, Unreadable
from cxr.data.images.grey_levels import check_size, picture_range, to_8_bit

BYTES_PER_PIXEL = 6  # three channels of 16 bits
HEADER_BYTES = 1_000_000
# pydicom's plugins, in this order. GDCM is none of them: a damaged JPEG lets it end the process.
DECODERS = ("pydicom", "pillow", "pylibjpeg")
FAR = 1e12  # beyond every window
_RUST = "pyo3_runtime"  # the module that panics of decoders in Rust (RLE) are said to be of
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
    dataset = _dataset(stream, MAX_PIXELS, stop_before_pixels=True, specific_tags=list(FACTS))
    try:
        return Facts(*(str(dataset.get(tag) or "").strip() for tag in FACTS))
    except Exception as error:  # pydicom reads a value when it is asked for
        raise _classified(error, dataset) from error


def read_pixels(stream: IO[bytes], max_pixels: int) -> tuple[np.ndarray, tuple[int, int], tuple[str, ...]]:
    """Decodes as a viewer would show it: modality LUT or rescale, VOI LUT or first window, MONOCHROME1 inverted, padding black.

    A VOI LUT or a window says what is black and what is white. Where there is none, 8-bit pixels that nothing changed stay as they
    are, and of others the range of values, padding and outliers left aside, becomes 0 to 255.

    Returns:
      uint8 [height, width], the stored height and width, and what header and bits say against a frontal chest X-ray.

    Raises:
      ImageError: Not usable.
    """
    from pydicom.pixels import apply_color_lut

    # Before the pixels are read: a cine run, or somebody's bomb, is larger than the memory.
    dataset = _dataset(stream, max_pixels, stop_before_pixels=True, specific_tags=["Rows", "Columns", "NumberOfFrames"])
    try:
        height, width = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        if not height or not width:
            raise NotAnImage("a DICOM file without a picture")
        check_size(height, width, max_pixels)
        frames = int(dataset.get("NumberOfFrames") or 1)
        if frames > 1:
            raise SeveralFrames(f"holds {frames} frames; save the one that is meant")
        if stream.seek(0, io.SEEK_END) > max_pixels * BYTES_PER_PIXEL + HEADER_BYTES:
            raise TooManyPixels(f"holds more than {max_pixels:,} pixels need (max_pixels)")
        stream.seek(0)
        dataset = _dataset(stream, max_pixels)
        if "PixelData" not in dataset:
            if dataset.file_meta.TransferSyntaxUID.is_encapsulated:  # pydicom drops compressed pixels that do not end
                raise Truncated("holds no picture, or one that is cut off")
            raise NotAnImage("a DICOM file without a picture")
        _check_codestream(dataset, max_pixels)
        stored, odd = _stored(dataset)
        remarks = (*_remarks(dataset), *filter(None, (odd,)))
        photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
        bits = int(dataset.BitsStored)
        if photometric == "PALETTE COLOR":
            stored = apply_color_lut(stored, dataset)
            bits = 8 * stored.dtype.itemsize
        if stored.ndim == 3:
            colours = stored if stored.dtype == np.uint8 else to_8_bit(stored, 0, 2**bits - 1)
            return np.array(Image.fromarray(colours).convert("L")), (height, width), remarks
        padding = _padding(stored, dataset)
        grey = _windowed(stored, padding, dataset)
        if photometric == "MONOCHROME1":
            grey = 255 - grey
        grey[padding] = 0  # no picture there: black, inverted or not
        return grey, (height, width), remarks
    except (ImageError, MemoryError):
        raise
    except BaseException as error:  # decoders, LUTs and headers fail in their own ways; a panic of one in Rust is no Exception
        if not isinstance(error, Exception) and type(error).__module__ != _RUST:
            raise
        raise _classified(error, dataset) from error


def _remarks(dataset: Any) -> tuple[str, ...]:
    """Says which tags tell of something else than a frontal chest X-ray. One that is empty, missing or damaged tells nothing."""
    found = []
    for tag in frontal.HEADER:
        stored = dataset.get_item(tag)  # as it is in the file: pydicom's warnings about a value would quote it
        value = stored.value if stored else b""
        found.append(frontal.remark(tag, value.decode("latin-1") if isinstance(value, bytes) else str(value or "")))
    return tuple(filter(None, found))


def _stored(dataset: Any) -> tuple[np.ndarray, str]:
    """Returns the pixels' values, and what is odd about them; "": nothing."""
    from pydicom.uid import RLELossless

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:
        return _decoded(dataset), ""  # the codestream says how many bits a value has
    return _in_place(_decoded(dataset, correct_unused_bits=False), dataset)


def _decoded(dataset: Any, **options: bool) -> np.ndarray:
    """Decodes the pixels with the first decoder that can. Left to itself pydicom would take GDCM wherever that is installed."""
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return pixel_array(dataset, **options)
    there = get_decoder(syntax).available_plugins
    *others, last = [name for name in DECODERS if name in there] or [""]  # pydicom says what is missing
    for name in others:
        try:
            return pixel_array(dataset, decoding_plugin=name, **options)
        except Exception as error:  # Pillow knows no picture of 12 bits
            if says_truncated(error):  # of a cut header the next decoder says something else
                raise
    frame = _frame(dataset)
    if frame.startswith(JPEG):
        check_end(frame)
    return pixel_array(dataset, decoding_plugin=last, **options)


def _in_place(cells: np.ndarray, dataset: Any) -> tuple[np.ndarray, str]:
    """Returns the values that stand in pixels' cells, and what is odd about them; other bits may hold overlays or nothing (PS3.5, 8.1.1).

    pydicom 3.0 takes the lowest bits, wherever the header says that a value ends (HighBit): old archives have 12 at the upper end of 16.
    """
    bits, cell = int(dataset.BitsStored), 8 * cells.dtype.itemsize
    if bits >= cell or int(dataset.BitsAllocated) != cell:
        return cells, ""
    unsigned = cells.view(f"u{cells.dtype.itemsize}")
    above = bool((unsigned >> bits).any())
    below = int(dataset.get("HighBit", bits - 1)) + 1 - bits
    if not 0 < below <= cell - bits or not above and (unsigned & (2**below - 1)).any():
        below = 0  # there is no room for it, or all that there is lies lower
    odd = above and not below and not dataset.PixelRepresentation and not _overlaid(dataset)
    values = np.right_shift(np.left_shift(cells, cell - bits - below), cell - bits)
    return values, f"pixels hold more bits than the header says (BitsStored {bits})" if odd else ""


def _overlaid(dataset: Any) -> bool:
    """Whether overlays stand in the pixels' cells (PS3.3 C.9.2, until 2004)."""
    return any(dataset.get((group, 0x0102)) is not None and dataset[group, 0x0102].value for group in range(0x6000, 0x6020, 2))


def _windowed(stored: np.ndarray, padding: np.ndarray, dataset: Any) -> np.ndarray:
    """Maps stored values to grey levels, before any inversion. Returns uint8 [height, width]."""
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

    values = apply_modality_lut(stored, dataset)
    if _has_voi_lut(dataset):
        _widen(dataset.VOILUTSequence[0])
        return to_8_bit(apply_voi(values, dataset), 0, _largest_level(dataset))
    if _has_window(dataset):
        with np.errstate(over="ignore"):  # of a sigmoid's exponential: the right answer is 0
            black, white = apply_windowing(np.array([-FAR, FAR]), dataset)  # what pydicom makes of values beyond the window
            return to_8_bit(apply_windowing(values, dataset), float(black), float(white))
    if stored.dtype == np.uint8 and np.array_equal(values, stored):
        return stored.copy()
    shown = values[~padding]
    return to_8_bit(values, *picture_range(shown)) if shown.size else np.zeros(stored.shape, np.uint8)


def _has_voi_lut(dataset: Any) -> bool:
    items = dataset.get("VOILUTSequence")
    return bool(items) and all(items[0].get(key) is not None for key in ("LUTDescriptor", "LUTData"))


def _widen(lut: Any) -> None:
    """Announces 16 bits for a long table of 8: pydicom 3.0 numbers entries in as few bits as they have, from 0 again at 256."""
    entries, first, bits = lut.LUTDescriptor
    if bits == 8 and not 0 < entries <= 2**8:
        lut.LUTDescriptor = [entries, first, 16]


def _largest_level(dataset: Any) -> int:
    """White of a VOI LUT: of the bits it announces or, where its entries need fewer (16 announced, 12 used), of those."""
    from pydicom.pixels import apply_voi

    entries, first, bits = dataset.VOILUTSequence[0].LUTDescriptor
    largest = int(apply_voi(np.arange(first, first + (entries or 2**16)), dataset).max())
    return 2 ** min(bits, max(8, largest.bit_length())) - 1


def _has_window(dataset: Any) -> bool:
    """Whether there is a window that means anything: files state a width of 0 where they have none."""
    centre, width = (dataset.get(key) for key in ("WindowCenter", "WindowWidth"))
    if centre in (None, "") or width in (None, ""):
        return False
    least = 1.0 if str(dataset.get("VOILUTFunction") or "LINEAR").upper() == "LINEAR" else sys.float_info.min
    return float(width if dataset["WindowWidth"].VM == 1 else width[0]) >= least


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Tells which pixels lie outside the picture (PS3.3 C.7.5.1.1.2). Returns bool [height, width]."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return (stored >= low) & (stored <= high)


def _frame(dataset: Any) -> bytes:
    """Returns the compressed picture of a file that holds one."""
    from pydicom.encaps import generate_frames

    return next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))


def _check_codestream(dataset: Any, max_pixels: int) -> None:
    """Refuses a compressed picture that is larger than the file's header says: decoders believe the picture."""
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frame = _frame(dataset)
    if frame.startswith(JPEG):  # any two bytes may follow each other in RLE
        check_scans(io.BytesIO(frame))
    size = codestream_size(_unboxed(frame))
    if size:
        check_size(*size, max_pixels)


def _unboxed(data: bytes) -> bytes:
    """Returns the codestream within a JP2 file's boxes (ISO 15444-1, I.4); of anything else all of it.

    Raises:
      Unreadable: A box is said to be shorter than its own header; pydicom would look at one without length for ever.
    """
    if not data.startswith(b"\x00\x00\x00\x0cjP  "):
        return data
    at = 12  # the first box
    while at < len(data):
        if data[at + 4 : at + 8] == b"jp2c":
            return data[at + 8 :]
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            raise Unreadable("a JP2 box shorter than its own header")
        at += length
    return b""


def codestream_size(data: bytes) -> tuple[int, int] | None:
    """Returns height and width that a JPEG, JPEG-LS or JPEG 2000 codestream announces; None where it announces none."""
    try:
        if data[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000 (ISO 15444-1, A.5.1): SOC, SIZ
            right, bottom, left, top = struct.unpack_from(">4I", data, 8)
            return bottom - top, right - left
        at = 2 if data[:2] == b"\xff\xd8" else len(data)
        while at < len(data):
            marker, length = struct.unpack_from(">HH", data, at)
            if marker == 0xFFF7 or (
                0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC)
            ):  # a start of frame (ISO 10918-1, B.2.2)
                height, width = struct.unpack_from(">HH", data, at + 5)
                return height, width
            at += 2 + length
    except struct.error:  # cut short: the decoder will say so
        pass
    return None


def _check_deflated(stream: IO[bytes], max_pixels: int) -> None:
    """Refuses a deflated file that unpacks to more than a picture can need: pydicom would unpack it whole, whatever is asked for."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    start = stream.tell()
    read_preamble(stream, force=True)
    meta = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflate, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), stream.read(), 0
        while rest and not inflate.eof:
            size += len(inflate.decompress(rest, 1 << 20))
            rest = inflate.unconsumed_tail
            if size > max_pixels * BYTES_PER_PIXEL + HEADER_BYTES:
                raise TooManyPixels(f"unpacks to more than {max_pixels:,} pixels need (max_pixels)")
    stream.seek(start)


def _dataset(stream: IO[bytes], max_pixels: int, **options: Any) -> Any:
    try:
        import pydicom
    except ImportError:
        raise CxrError("reading DICOM needs pydicom; install the extra: pip install 'cxr-pipeline[dicom]'") from None
    from pydicom.uid import ImplicitVRLittleEndian

    try:
        _check_deflated(stream, max_pixels)
        dataset = pydicom.dcmread(stream, force=True, **options)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # files without a header: the standard's default
        return dataset
    except ImageError:
        raise
    except (EOFError, io.UnsupportedOperation) as error:
        raise Truncated(f"cannot be read as DICOM: {error}") from error
    except Exception as error:
        raise Unreadable(f"cannot be read as DICOM: {error}") from error


def _classified(error: BaseException, dataset: Any) -> ImageError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = lines[-1].strip() if lines[0].endswith(":") else lines[0]  # of several decoders, each on a line of its own
    if says_truncated(error):
        return Truncated(f"cannot be decoded: {text}")
    syntax = getattr(dataset.file_meta.get("TransferSyntaxUID", ""), "name", "unknown")
    return Unreadable(f"cannot be decoded ({syntax}): {text}")

"""Looks at the headers of encoded images before anything decodes them: a few KB of PNG can unpack to gigabytes."""

import io
import struct

import numpy as np
from PIL import Image
from tensorflow.core.example import example_pb2

from cxr.serving.server.errors import invalid

_MAGIC = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WEBP"}
_TOO_MANY = 2**62
_JPEG_XL = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")


def check_images(values: np.ndarray, max_pixels: int, max_total: int) -> None:
    """Refuses images that would be too large once decoded.

    Args:
        values: strings [any shape]: encoded images, serialized tf.Examples with such images in bytes features, or anything else.
        max_pixels: limit for one image.
        max_total: limit for all of them.

    Raises:
        ServingError: INVALID_ARGUMENT. What has no readable header is left to the decoder in the graph, which knows the right text.
    """
    total = 0
    for index, value in enumerate(values.ravel()):
        for data in _images(value):
            count = pixels(data)
            total += count
            if count > max_pixels:
                raise invalid(f"Image {index} of the request has more than {max_pixels} pixels when decoded")
        if total > max_total:
            raise invalid(f"The images of the request have more than {max_total} pixels when decoded; send fewer in one request")


def _images(value: bytes) -> list[bytes]:
    if _kind(value) or not value.startswith(b"\x0a"):  # field 1, length-delimited: how every tf.Example begins
        return [value]
    try:
        features = example_pb2.Example.FromString(value).features.feature
    except Exception:  # not an Example: the graph says so
        return [value]
    return [data for feature in features.values() for data in feature.bytes_list.value]


def _kind(data: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def pixels(data: bytes) -> int:
    """Returns the pixels (width times height, over all frames of a GIF) that an encoded image announces; 0 when it announces none.

    Raises:
        ServingError: INVALID_ARGUMENT for JPEG XL, whose size cannot be read here.
    """
    if data.startswith(_JPEG_XL):
        raise invalid("JPEG XL images are not accepted; send JPEG or PNG")
    kind = _kind(data)
    if kind is None:
        return 0
    if kind == "GIF":
        return gif_pixels(data)
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:  # reads the header only
            return image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's own limit, 179 million
        return _TOO_MANY
    except Exception:  # broken header: the graph's decoder refuses it with its own text
        return 0


def gif_pixels(data: bytes) -> int:
    """Returns the pixels of all frames of a GIF by walking its blocks (a decoder reads them all, whichever frame is asked for)."""
    total = 0
    try:
        width, height, flags = struct.unpack_from("<HHB", data, 6)
        total, at = width * height, 13 + _colour_table(flags)
        while data[at] != 0x3B:  # trailer
            if data[at] == 0x2C:  # a frame
                width, height, flags = struct.unpack_from("<HHB", data, at + 5)
                total += width * height
                at += 10 + _colour_table(flags) + 1
            else:  # an extension
                at += 2
            while data[at]:  # sub-blocks
                at += data[at] + 1
            at += 1
    except (IndexError, struct.error):
        pass  # cut short: what was announced so far counts
    return total


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

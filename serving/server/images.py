"""Looks at the headers of encoded images before anything decodes them: a few KB of PNG can unpack to gigabytes.

PNG, JPEG and GIF headers are read here and not by a library: where the two disagreed about a broken file, an image that the
library refuses to open would pass unmeasured to TensorFlow's more tolerant decoder.
"""

import io
import struct

import numpy as np
from PIL import Image
from tensorflow.core.example import example_pb2

from cxr.data.images.decoders import check_scans
from cxr.data.images.errors import Unreadable
from cxr.serving.server.errors import invalid

_TOO_MANY = 2**62
_PNG, _JPEG, _GIF, _OTHERS = b"\x89PNG", b"\xff\xd8\xff", b"GIF8", (b"BM", b"RIFF")
_JPEG_XL = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame; the three others define tables
_BARE = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))  # markers without a length


def check_images(values: np.ndarray, max_pixels: int, max_total: int) -> None:
    """Refuses images that would be too large once decoded, or take minutes to decode: a graph has no operation that could be stopped.

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
            if data.startswith(_JPEG):
                try:
                    check_scans(io.BytesIO(data))
                except Unreadable as error:
                    raise invalid(f"Image {index} of the request is {error}; save it anew, as PNG or as baseline JPEG") from None
        if total > max_total:
            raise invalid(f"The images of the request have more than {max_total} pixels when decoded; send fewer in one request")


def _images(value: bytes) -> list[bytes]:
    """Returns whatever a graph may decode of a string: itself, and the bytes features if it can be read as a tf.Example."""
    try:
        features = example_pb2.Example.FromString(value).features.feature
    except Exception:  # not an Example: the graph says so
        return [value]
    return [value, *(data for feature in features.values() for data in feature.bytes_list.value)]


def pixels(data: bytes) -> int:
    """Returns the pixels that an encoded image announces: width times height, of a GIF those of all frames; 0 when it announces none.

    Raises:
      ServingError: INVALID_ARGUMENT for JPEG XL, whose size cannot be read here.
    """
    if data.startswith(_JPEG_XL):
        raise invalid("JPEG XL images are not accepted; send JPEG or PNG")
    if data.startswith(_PNG):
        return png_pixels(data)
    if data.startswith(_JPEG):
        return jpeg_pixels(data)
    if data.startswith(_GIF):
        return gif_pixels(data)
    return other_pixels(data) if data.startswith(_OTHERS) else 0


def png_pixels(data: bytes) -> int:
    """Returns width times height of a PNG: its first chunk is always the header."""
    return struct.unpack_from(">I", data, 16)[0] * struct.unpack_from(">I", data, 20)[0] if len(data) >= 24 else 0


def jpeg_pixels(data: bytes) -> int:
    """Returns width times height of a JPEG, from the first start-of-frame segment."""
    at = 2
    try:
        while True:
            at = data.index(b"\xff", at)  # a decoder skips what is between two segments
            while data[at] == 0xFF:
                at += 1
            marker, at = data[at], at + 1
            if marker in _FRAMES:
                height, width = struct.unpack_from(">HH", data, at + 3)
                return height * width
            if marker == 0xDA:  # the picture itself begins, without a frame
                return 0
            if marker not in _BARE:
                at += struct.unpack_from(">H", data, at)[0]
    except (IndexError, ValueError, struct.error):
        return 0


def other_pixels(data: bytes) -> int:
    """Returns width times height of a BMP or WebP."""
    try:
        with Image.open(io.BytesIO(data), formats=("BMP", "WEBP")) as image:  # reads the header only
            return image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's own limit, 179 million
        return _TOO_MANY
    except Exception:  # broken header: the graph's decoder refuses it with its own text
        return 0


def gif_pixels(data: bytes) -> int:
    """Returns the pixels that all frames of a GIF take once decoded, by walking its blocks.

    TensorFlow decodes every frame, whichever is asked for, and each onto a picture of the largest frame's size.
    """
    widest = tallest = frames = 0
    try:
        widest, tallest, flags = struct.unpack_from("<HHB", data, 6)
        at = 13 + _colour_table(flags)
        while data[at] != 0x3B:  # trailer
            if data[at] == 0x2C:  # a frame
                width, height, flags = struct.unpack_from("<HHB", data, at + 5)
                widest, tallest, frames = max(widest, width), max(tallest, height), frames + 1
                at += 10 + _colour_table(flags) + 1
            else:  # an extension
                at += 2
            while data[at]:  # sub-blocks
                at += data[at] + 1
            at += 1
    except (IndexError, struct.error):
        pass  # cut short: what was announced so far counts
    return max(frames, 1) * widest * tallest


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

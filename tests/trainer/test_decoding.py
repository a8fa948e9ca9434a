"""Holds what a server makes of a file as it is against what it makes of the same file after `cxr ingest`."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from cxr.data.images import decoders, reader
from cxr.trainer.preprocessing import decode_and_resize

SIZE = 48


def picture(height=120, width=160, top=255, dtype=np.uint8):
    """Smooth, without any symmetry."""
    y, x = np.ogrid[0:height, 0:width]
    slope = x / width - y / height
    levels = 0.5 + 0.3 * np.sin(x / width * 4) * np.cos(y / height * 3) + 0.2 * slope * slope * slope
    levels[: height // 4, : width // 3] *= 0.3
    return (levels * top).astype(dtype)


def saved(pixels, kind="PNG", mode=None, **options):
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def oriented(orientation, big_endian=False):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", orientation
    exif.endian = ">" if big_endian else "<"
    return exif


def rgba():
    alpha = np.tile(np.linspace(255, 0, 160), (120, 1)).astype(np.uint8)
    return Image.merge(
        "RGBA", [Image.fromarray(picture()), Image.fromarray(picture()[::-1]), Image.fromarray(255 - picture()), Image.fromarray(alpha)]
    )


def with_outlier(pixels):
    pixels[60, 80] = 65535
    return pixels


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_colour():
    """RGB of 16 bits, which Pillow reads but does not write."""
    pixels = np.stack([picture(top=60000, dtype=np.uint16), picture(top=40000, dtype=np.uint16), picture(top=9000, dtype=np.uint16)], -1)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 160, 120, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_late_exif(png):
    """As exiftool writes it: behind the picture."""
    end = chunk(b"IEND", b"")
    assert png.endswith(end)
    return png[: -len(end)] + chunk(b"eXIf", oriented(6).tobytes().removeprefix(b"Exif\0\0")) + end


def narrow(bits, *more):
    """A grey PNG of fewer bits than 8, which Pillow does not write, with more chunks."""
    rows = b"".join(b"\0" + np.packbits(np.unpackbits(row[:, np.newaxis] >> (8 - bits), axis=1)[:, -bits:]).tobytes() for row in picture())
    header = struct.pack(">IIBBBBB", 160, 120, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


KINDS = {
    "8-bit png": saved(picture()),
    "8-bit png of 3,000 pixels": saved(picture(2000, 3000)),
    **{f"grey png of {bits} bits": narrow(bits) for bits in (1, 2, 4)},
    "1-bit png": saved(picture(), mode="1"),
    "12 bits in a 16-bit png": saved(picture(top=4095, dtype=np.uint16)),
    "12 bits of 2,000 pixels": saved(picture(1500, 2000, top=4095, dtype=np.uint16)),
    "12 bits and one bright pixel": saved(with_outlier(picture(top=4095, dtype=np.uint16))),
    "16-bit png": saved(picture(top=65535, dtype=np.uint16)),
    "rgb png": saved(rgba(), mode="RGB"),
    "rgba png": saved(rgba()),
    "grey png with alpha": saved(rgba(), mode="LA"),
    "grey png with a transparent level": saved(picture(), transparency=int(picture()[60, 80])),
    "palette png": saved(rgba().convert("RGB").quantize(64)),
    "palette png of 2 colours": saved(Image.fromarray(picture()).point(lambda level: 230 if level > 110 else 30).quantize(2), bits=1),
    **{f"palette png of {2**bits} colours": saved(Image.fromarray(picture()).quantize(2**bits), bits=bits) for bits in (2, 4)},
    **{
        f"palette png of {2**bits} colours with transparency": saved(rgba().convert("RGB").quantize(2**bits), bits=bits, transparency=1)
        for bits in (1, 2, 4)
    },
    "palette png with transparency": saved(rgba().convert("RGB").quantize(64), transparency=7),
    "16-bit rgb png": deep_colour(),
    "grey jpeg": saved(picture(), "JPEG", quality=95),
    "rgb jpeg": saved(rgba(), "JPEG", mode="RGB", quality=95),
    "progressive jpeg": saved(picture(), "JPEG", progressive=True, quality=95),
    "jpeg with other metadata": saved(picture(), "JPEG", comment=b"tRNS", icc_profile=b"x" * 70000, exif=oriented(1)),
    "turned png": saved(picture(), exif=oriented(6)),
    "png turned behind its picture": with_late_exif(saved(picture())),
    **{f"jpeg, orientation {n}": saved(picture(), "JPEG", quality=95, exif=oriented(n, big_endian=n % 2 == 0)) for n in range(1, 10)},
}


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def served(encoded):
    return decode_and_resize(encoded, SIZE)


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_a_file_as_it_is_looks_as_after_ingest(data):
    ingested = reader.encode(reader.read_image(data))
    raw, expected = served(tf.constant([data, ingested])).numpy()
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(raw, expected, atol=0.01)


def xmp_png(compressed):
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<rdf tiff:Orientation="6"/>', zip=compressed)
    return saved(picture(), pnginfo=text)


def profile_png():
    text = PngImagePlugin.PngInfo()
    data = oriented(6).tobytes()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n", zip=True)
    return saved(picture(), pnginfo=text)


def progressive(scans):
    """A JPEG whose first scan comes so often that it has this many; the picture is the same."""
    data = saved(picture(), "JPEG", progressive=True)
    first = data.index(decoders.SCAN)
    second = data.index(decoders.SCAN, first + 2)
    return data[:first] + (scans - data.count(decoders.SCAN)) * data[first:second] + data[first:]


REFUSED = {
    **{
        f"{bits}-bit png with a transparent level": (narrow(bits, chunk(b"tRNS", b"\0\1")), "less than 8 bits with a transparent level")
        for bits in (1, 2, 4)
    },
    "cmyk jpeg": (saved(picture(), "JPEG", mode="CMYK"), "CMYK"),
    "animated png": (saved(picture(), save_all=True, append_images=[Image.fromarray(picture()[::-1])]), "animated"),
    "orientation in xmp": (xmp_png(False), "which way is up"),
    "orientation in compressed xmp": (xmp_png(True), "which way is up"),
    "orientation in a text chunk": (profile_png(), "which way is up"),
    "orientation in a jpeg's xmp": (saved(picture(), "JPEG", xmp=b'<rdf tiff:Orientation="6"/>'), "which way is up"),
    "jpeg of too many scans": (progressive(decoders.MAX_SCANS + 1), "more than 500 scans"),
    "bmp": (saved(picture(), "BMP"), "neither PNG nor JPEG"),
    "tiff": (saved(picture(), "TIFF"), "neither PNG nor JPEG"),
    "gif": (saved(picture(), "GIF"), "neither PNG nor JPEG"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_a_graph_cannot_do_is_refused_with_a_remedy(data, reason):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{reason}.*cxr predict"):
        served(tf.constant([data]))


def test_as_many_scans_as_the_readers_allow_are_decoded():
    most = progressive(decoders.MAX_SCANS)
    assert most.count(decoders.SCAN) == decoders.MAX_SCANS
    few = saved(picture(), "JPEG", progressive=True)
    np.testing.assert_array_equal(served(tf.constant([most])), served(tf.constant([few])))


def test_deep_pictures_are_scaled_to_the_very_levels_of_ingest():
    pixels = np.random.default_rng(0).integers(100, 3000, (SIZE, SIZE)).astype(np.uint16)
    pixels[5, 7] = 65535
    raw = served(tf.constant([saved(pixels)])).numpy()[0, ..., 0]
    np.testing.assert_array_equal(np.rint(raw * 255), reader.read_image(saved(pixels)).array)


@pytest.mark.parametrize("damage", range(30))
def test_damaged_metadata_are_an_error_or_nothing(damage):
    """No other error, and no crash: what a stranger sends reaches this code."""
    data = bytearray(saved(picture(), "JPEG", exif=oriented(6, big_endian=damage % 2)))
    random = np.random.default_rng(damage)
    for at in random.integers(20, 120, 4):  # the EXIF segment
        data[at] = random.integers(0, 256)
    with contextlib.suppress(tf.errors.InvalidArgumentError):
        assert served(tf.constant([bytes(data)])).shape == (1, SIZE, SIZE, 1)

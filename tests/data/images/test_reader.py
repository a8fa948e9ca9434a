import contextlib
import io
import os
import re
import signal
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pydicom
import pydicom.data
import pytest
from dicom_files import dicom_bytes
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import TiffImageFile
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from cxr.data.images import decoders, reader
from cxr.data.images.errors import Blank, ImageError, NotAnImage, SeveralFrames, TooManyPixels, TooSmall, Truncated, Unreadable
from cxr.data.images.grey_levels import mean_and_deviation


def ramp(height=32, width=48, top=255, dtype=np.uint8):
    """Dark on the left, bright on the right, and a bright upper left corner that shows which way is up."""
    picture = np.tile(np.linspace(0, top, width), (height, 1))
    picture[: height // 4, : width // 4] = top
    return picture.astype(dtype)


def saved(picture, kind, **options):
    out = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(out, kind, **options)
    return out.getvalue()


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.fixture
def peak():
    """Largest amount of memory in use at a time, bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


# === What must be read ===


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_eight_bit_grey_stays_as_it_is(kind):
    image = reader.read_image(saved(ramp(), kind))
    np.testing.assert_array_equal(image.array, ramp())
    assert (image.source_format, image.format, image.original_size) == (kind.lower(), "png", (32, 48))


def test_jpeg_is_nearly_the_same_and_stays_jpeg():
    image = reader.read_image(saved(ramp(), "JPEG", quality=95))
    assert np.abs(image.array.astype(int) - ramp()).mean() < 2
    assert image.format == "jpeg"
    assert reader.encode(image)[:2] == b"\xff\xd8"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("top", [4095, 65535])
def test_sixteen_bits_use_the_range_that_is_there(kind, top):
    image = reader.read_image(saved(ramp(top=top, dtype=np.uint16), kind))
    assert image.array.dtype == np.uint8
    np.testing.assert_allclose(image.array.astype(int), ramp(), atol=1)


def with_marker(picture, value, share):
    """The picture with a bright square that covers a share of it."""
    side = max(1, round((share * picture.size) ** 0.5))
    marked = picture.copy()
    marked[-side - 8 : -8, 8 : 8 + side] = value
    return marked


@pytest.mark.parametrize("share", [0, 0.015], ids=["pixel", "marker"])
@pytest.mark.parametrize(
    "file", [lambda p: saved(p, "PNG"), lambda p: saved(p, "TIFF"), lambda p: dicom_bytes(p)], ids=["png", "tiff", "dicom"]
)
def test_a_few_bright_pixels_do_not_blacken_a_deep_picture(file, share):
    plain = ramp(160, 200, top=4095, dtype=np.uint16)
    image = reader.read_image(file(with_marker(plain, 65535, share))).array.astype(float)
    levels = np.delete(image, np.s_[-30:], axis=0)  # without the marker's rows
    expected = np.delete(ramp(160, 200), np.s_[-30:], axis=0).astype(float)
    assert np.ptp(levels) > 160
    assert np.corrcoef(levels.ravel(), expected.ravel())[0, 1] > 0.999
    assert image.max() == 255


def test_a_few_dark_values_do_not_bleach_it_either():
    plain = ramp(160, 200, top=4095, dtype=np.int16)
    image = reader.read_image(dicom_bytes(with_marker(plain, -32768, 0.01))).array
    assert np.ptp(image[:100]) > 160


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_whose_zero_is_white_is_inverted(dtype):
    data = bytearray(saved(ramp().astype(dtype) * (np.iinfo(dtype).max // 255), "TIFF"))
    (entries,) = struct.unpack_from("<I", data, 4)
    for at in range(entries + 2, entries + 2 + 12 * data[entries], 12):
        if struct.unpack_from("<H", data, at)[0] == 262:  # PhotometricInterpretation
            struct.pack_into("<H", data, at + 8, 0)
    np.testing.assert_allclose(reader.read_image(bytes(data)).array.astype(int), 255 - ramp().astype(int), atol=1)


def tiff_of(pixels):
    """A TIFF as Pillow writes none: of unsigned 32 bits [height, width], or of three colours of 16 bits [height, width, 3]."""
    height, width, *colours = pixels.shape
    bits = 8 * pixels.itemsize
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 8 + pixels.nbytes) if colours else (258, 3, 1, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2 if colours else 1),
        (273, 4, 1, 8),
        (277, 3, 1, 3 if colours else 1),
        (278, 4, 1, height),
        (279, 4, 1, pixels.nbytes),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    content = pixels.tobytes() + struct.pack("<4H", *[bits] * 4)
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + directory


def test_whole_numbers_of_32_bits_have_no_sign_where_the_tiff_says_none():
    data = tiff_of(ramp().astype("<u4") * 16_000_000)
    np.testing.assert_allclose(reader.read_image(data).array.astype(int), ramp(), atol=1)


def test_float_tiff():
    np.testing.assert_allclose(reader.read_image(saved(ramp().astype(np.float32) / 255, "TIFF")).array.astype(int), ramp(), atol=1)


def test_rgb_becomes_luma():
    picture = Image.merge("RGB", [Image.fromarray(ramp()), Image.new("L", (48, 32)), Image.new("L", (48, 32))])
    np.testing.assert_allclose(reader.read_image(saved(picture, "PNG")).array, 0.299 * ramp(), atol=1)


def test_alpha_is_composited_over_black():
    alpha = np.full((32, 48), 255, np.uint8)
    alpha[:, 24:] = 0
    for picture in (
        Image.merge("RGBA", [Image.fromarray(ramp())] * 3 + [Image.fromarray(alpha)]),
        Image.merge("LA", [Image.fromarray(ramp()), Image.fromarray(alpha)]),
    ):
        array = reader.read_image(saved(picture, "PNG")).array
        np.testing.assert_array_equal(array[:, :24], ramp()[:, :24])
        assert not array[:, 24:].any()


def test_palette_with_transparency():
    picture = Image.fromarray(ramp()).convert("RGB").quantize(16)
    opaque = reader.read_image(saved(picture, "PNG")).array
    assert np.abs(opaque.astype(int) - ramp()).max() <= 16
    palette = picture.getpalette()
    assert palette is not None
    brightest = max(np.unique(np.asarray(picture)).tolist(), key=lambda index: palette[3 * index])
    clear = reader.read_image(saved(picture, "PNG", transparency=brightest)).array
    assert clear[0, 0] == 0
    assert clear[31, 24] == opaque[31, 24]


def test_one_bit():
    picture = Image.fromarray(ramp()).point(lambda value: 255 * (value > 100)).convert("1")
    assert set(np.unique(reader.read_image(saved(picture, "PNG")).array)) == {0, 255}


def test_cmyk_jpeg():
    picture = Image.fromarray(ramp()).convert("RGB").convert("CMYK")
    assert np.abs(reader.read_image(saved(picture, "JPEG", quality=95)).array.astype(int) - ramp()).mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize(("orientation", "stored"), [(3, "ROTATE_180"), (6, "ROTATE_90"), (5, "TRANSPOSE")])
def test_exif_orientation_is_undone(kind, orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = reader.read_image(saved(Image.fromarray(ramp()).transpose(Image.Transpose[stored]), kind, exif=exif))
    assert image.array.shape == (32, 48)
    assert np.abs(image.array.astype(int) - ramp()).mean() < 4


def test_long_images_are_scaled_down_without_aliasing():
    stripes = np.zeros((400, 1600), np.uint8)
    stripes[:, ::2] = 255  # one pixel wide: aliasing would leave them, or blacken the whole
    stripes[:, :800] = 0
    image = reader.read_image(saved(stripes, "PNG"), max_side=200)
    assert image.array.shape == (50, 200)
    assert image.original_size == (400, 1600)
    assert np.abs(image.array[:, 120:].astype(int) - 127).max() < 12
    assert reader.read_image(saved(stripes, "PNG"), max_side=None).array.shape == (400, 1600)
    assert reader.read_image(saved(ramp(800, 3000), "JPEG"), max_side=300).array.shape == (80, 300)


# === DICOM ===


@pytest.mark.parametrize("compress", [None, RLELossless, JPEG2000Lossless])
def test_dicom_of_sixteen_bits_compressed_or_not(compress):
    image = reader.read_image(dicom_bytes(ramp(top=4095, dtype=np.uint16), compress=compress))
    np.testing.assert_allclose(image.array.astype(int), ramp(), atol=1)
    assert image.source_format == "dicom"


@pytest.mark.parametrize(
    ("tags", "remarks"),
    [
        ({}, ()),  # PA
        ({"Modality": "dx", "BodyPartExamined": "CHEST ", "ViewPosition": "AP"}, ()),
        ({"Modality": "", "BodyPartExamined": "", "ViewPosition": ""}, ()),
        ({"ViewPosition": "LL"}, ("ViewPosition is LL, not AP or PA",)),
        (
            {"Modality": "CT", "BodyPartExamined": "HAND"},
            ("Modality is CT, not CR or DX or RG", "BodyPartExamined is HAND, not CHEST"),
        ),
        # Free text may be a name: only the tag is told.
        ({"BodyPartExamined": "DOE JANE", "ViewPosition": "MRN_4711"}, ("ViewPosition is not AP or PA", "BodyPartExamined is not CHEST")),
        ({"BodyPartExamined": "Jane Doe, 54 years"}, ("BodyPartExamined is not CHEST",)),
        ({"ViewPosition": ["RL", "PA"]}, ("ViewPosition is not AP or PA",)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Invalid value for VR:UserWarning")  # of the writer
def test_dicom_of_something_else_than_a_frontal_chest_x_ray_is_read_with_remarks(tags, remarks):
    content = dicom_bytes(ramp(), **tags)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one would quote the value
        image = reader.read_image(content)
    assert image.remarks == remarks
    np.testing.assert_array_equal(image.array, reader.read_image(dicom_bytes(ramp())).array)
    assert reader.read_image(dicom_bytes(np.stack([ramp()] * 3, axis=-1), **tags)).remarks == remarks


@pytest.mark.parametrize(
    ("picture", "doubts"),
    [
        (Image.fromarray(ramp() > 100), ("no more than 16 grey levels",)),
        (Image.fromarray((np.indices((2000, 1000)).sum(axis=0) // 100 % 2).astype(bool)), ("no more than 16 grey levels",)),  # scaled down
        (Image.fromarray((np.arange(40 * 40) % 17 * 15).astype(np.uint8).reshape(40, 40)), ()),
        (Image.fromarray(ramp(17, 4000)), ("one side is more than 3 times as long as the other",)),
        (Image.fromarray(ramp(4000, 17)), ("one side is more than 3 times as long as the other",)),
        (Image.fromarray(ramp(40, 120)), ()),
    ],
)
def test_a_drawing_and_a_strip_are_read_with_doubts(picture, doubts):
    assert reader.read_image(saved(picture, "TIFF")).doubts == doubts


def test_dicom_monochrome1_is_inverted():
    image = reader.read_image(dicom_bytes(ramp(top=4095, dtype=np.uint16), PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(image.array.astype(int), 255 - ramp().astype(int), atol=1)


def test_dicom_window_after_rescale():
    pixels = ramp(top=1000, dtype=np.int16)
    image = reader.read_image(dicom_bytes(pixels, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=900, WindowWidth=400))
    values = pixels * 2.0 - 100
    np.testing.assert_allclose(image.array, np.clip((values - 700) / 400, 0, 1) * 255, atol=2)


@pytest.mark.parametrize("white", [65535, 4095])
def test_dicom_voi_lut(white):
    item = pydicom.Dataset()
    item.LUTDescriptor = [256, 0, 16]  # also where the entries need 12 bits only
    item.add_new("LUTData", "OW", np.linspace(white, 0, 256).astype(np.uint16).tobytes())
    image = reader.read_image(dicom_bytes(ramp(), VOILUTSequence=[item]))
    np.testing.assert_allclose(image.array.astype(int), 255 - ramp().astype(int), atol=1)


def long_lut():
    """A VOI LUT of 4,096 entries with 8 bits."""
    item = pydicom.Dataset()
    item.LUTDescriptor = [4096, 0, 8]
    item.add_new("LUTData", "US", (np.arange(4096) // 16).tolist())
    return item


def test_dicom_voi_lut_of_many_entries_with_eight_bits():
    pixels = ramp().astype(np.uint16) * 16
    image = reader.read_image(dicom_bytes(pixels, BitsStored=12, HighBit=11, VOILUTSequence=[long_lut()]))
    np.testing.assert_array_equal(image.array, ramp())
    item = pydicom.Dataset()
    item.LUTDescriptor = [4096, 0, 8]
    item.add_new("LUTData", "OW", (np.arange(4096) // 16).astype(np.uint8).tobytes())  # two in a word, which pydicom cannot read
    with pytest.raises(Unreadable):
        reader.read_image(dicom_bytes(pixels, BitsStored=12, HighBit=11, VOILUTSequence=[item]))


def test_dicom_window_keeps_its_scale_where_the_picture_uses_a_part_of_it():
    pixels = (ramp(top=1000, dtype=np.uint16) + np.uint16(1000)).astype(np.uint16)
    image = reader.read_image(dicom_bytes(pixels, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096))
    np.testing.assert_allclose(image.array, pixels / 4095 * 255, atol=1)
    inverted = reader.read_image(
        dicom_bytes(pixels, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096, PhotometricInterpretation="MONOCHROME1")
    )
    np.testing.assert_array_equal(inverted.array, 255 - image.array)


def test_dicom_negative_slope_and_sigmoid():
    pixels = ramp(top=1000, dtype=np.uint16)
    window = {"RescaleIntercept": 1000, "RescaleSlope": -1, "WindowCenter": 500, "WindowWidth": 1000}
    np.testing.assert_allclose(reader.read_image(dicom_bytes(pixels, **window)).array.astype(int), 255 - ramp().astype(int), atol=1)
    image = reader.read_image(dicom_bytes(pixels, WindowCenter=500, WindowWidth=400, VOILUTFunction="SIGMOID"))
    np.testing.assert_allclose(image.array, 255 / (1 + np.exp(-4 * (pixels - 500.0) / 400)), atol=1)


def test_dicom_takes_the_first_of_several_windows():
    pixels = ramp(top=4000, dtype=np.uint16)
    one, several = ({"WindowCenter": 1000, "WindowWidth": 1800}, {"WindowCenter": [1000, 40], "WindowWidth": [1800, 400]})
    np.testing.assert_array_equal(
        reader.read_image(dicom_bytes(pixels, **several)).array, reader.read_image(dicom_bytes(pixels, **one)).array
    )


@pytest.mark.parametrize("width", [0, ""])
def test_dicom_window_that_means_nothing_is_none(width):
    image = reader.read_image(dicom_bytes(ramp(top=4095, dtype=np.uint16), WindowCenter=0, WindowWidth=width))
    np.testing.assert_allclose(image.array.astype(int), ramp(), atol=1)


def test_dicom_window_beside_the_picture_is_refused():
    with pytest.raises(Blank, match="nearly white"):
        reader.read_image(dicom_bytes(ramp(top=1000, dtype=np.uint16) + np.uint16(3000), WindowCenter=100, WindowWidth=200))


def test_dicom_colour_of_sixteen_bits_keeps_its_scale():
    colour = np.repeat(ramp(top=2000, dtype=np.uint16)[..., None], 3, axis=2)
    image = reader.read_image(dicom_bytes(colour, BitsStored=12, HighBit=11))
    np.testing.assert_allclose(image.array, colour[..., 0] / 4095 * 255, atol=1)


@pytest.mark.parametrize("compress", [None, RLELossless])
@pytest.mark.parametrize("signed", [False, True])
def test_dicom_values_end_where_the_header_says(compress, signed):
    """Old archives have 12 bits at the upper end of 16; below them stand overlays, or nothing."""
    values = ramp(top=4095, dtype=np.uint16).astype(np.int16 if signed else np.uint16) - (2048 if signed else 0)
    cells = (values << 4 | (np.arange(values.size).reshape(values.shape) % 16).astype(values.dtype)).astype(values.dtype)
    usual = reader.read_image(dicom_bytes(values, BitsStored=12, HighBit=11))
    for stored in (cells, values << 4):
        found = reader.read_image(dicom_bytes(stored, compress=compress, BitsStored=12, HighBit=15))
        np.testing.assert_array_equal(found.array, usual.array)
        assert found.remarks == ()


def test_dicom_values_that_all_lie_lower_end_there():
    values = ramp(top=4095, dtype=np.uint16)
    np.testing.assert_array_equal(
        reader.read_image(dicom_bytes(values, BitsStored=12, HighBit=15)).array,
        reader.read_image(dicom_bytes(values, BitsStored=12, HighBit=11)).array,
    )


def test_dicom_bits_that_nothing_explains_are_remarked_on():
    values = ramp(top=4095, dtype=np.uint16)
    remark = "pixels hold more bits than the header says (BitsStored 10)"
    assert reader.read_image(dicom_bytes(values, BitsStored=10, HighBit=9)).remarks == (remark,)
    plain = reader.read_image(dicom_bytes(values, BitsStored=12, HighBit=11))
    sign_above = reader.read_image(dicom_bytes(values.astype(np.int16) - 2048, BitsStored=12, HighBit=11))
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(values | np.uint16(1 << 12), BitsStored=12, HighBit=11)))
    dataset.add_new((0x6000, 0x0102), "US", 12)  # an overlay's bit
    file = io.BytesIO()
    dataset.save_as(file)
    for image in (plain, sign_above, reader.read_image(file.getvalue())):
        assert image.remarks == ()
        np.testing.assert_array_equal(image.array, plain.array)


def test_dicom_padding_does_not_take_part():
    pixels = ramp(top=3000, dtype=np.int16) + np.int16(500)
    pixels[:, -4:] = -2000
    image = reader.read_image(dicom_bytes(pixels, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1"))
    assert not image.array[:, -4:].any()
    assert image.array[-1, 0] == 255


def test_dicom_colour_and_deflated_and_without_preamble():
    colour = np.repeat(ramp()[..., None], 3, axis=2)
    np.testing.assert_allclose(reader.read_image(dicom_bytes(colour)).array.astype(int), ramp(), atol=1)
    np.testing.assert_array_equal(reader.read_image(dicom_bytes(ramp(), syntax=DeflatedExplicitVRLittleEndian)).array, ramp())
    np.testing.assert_array_equal(reader.read_image(dicom_bytes(ramp())[132:]).array, ramp())


def test_dicom_without_header_and_without_names_of_types():
    """What is written down as it came over the network: a data set alone, of the standard's default, implicit VR."""
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(ramp(), ImageType=["ORIGINAL", "PRIMARY"], SOPClassUID=SecondaryCaptureImageStorage)))
    bare = pydicom.filebase.DicomBytesIO()
    bare.is_little_endian, bare.is_implicit_VR = True, True
    pydicom.filewriter.write_dataset(bare, dataset)
    data = bare.getvalue()
    assert not data[4:6].isalpha()
    assert reader.is_image(data[: reader.HEAD_BYTES])
    np.testing.assert_array_equal(reader.read_image(data).array, ramp())


@pytest.mark.parametrize(
    ("length", "after", "known"),
    [
        (10, b"\x08\x00\x08\x00", True),
        (10, b"\x08\x00\x05\x00", False),  # the same element again
        (10, b"\x10\x00\x08\x00", False),  # of another group
        (9, b"\x08\x00\x08\x00", False),  # values have an even length
        (200, b"\x08\x00\x08\x00", False),  # beyond what is looked at
    ],
)
def test_two_elements_make_a_dicom_file_without_header(length, after, known):
    head = b"\x08\x00\x05\x00" + length.to_bytes(4, "little") + b"I" * length + after
    assert reader.is_image(head[: reader.HEAD_BYTES]) is known
    assert not reader.is_image(head[:9])


# === What must be refused ===


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated(kind, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    data = saved(noise, kind)
    with pytest.raises((Truncated, Unreadable) if kind == "TIFF" else Truncated):
        reader.read_image(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("compress", [None, RLELossless])
def test_truncated_dicom(share, compress):
    noise = np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.uint16)
    data = dicom_bytes(noise, compress=compress)
    with pytest.raises((Truncated, Unreadable, NotAnImage)):
        reader.read_image(data[: int(len(data) * share)])


def test_a_jpeg_in_a_dicom_file_that_is_cut_is_not_filled_in_with_grey():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    whole = saved(noise, "JPEG")
    for end, reason in ((len(whole) // 2, "truncated"), (60, "Truncated File Read")):  # in the picture, in the tables before it
        with pytest.raises(Truncated, match=reason):
            reader.read_image(encapsulated(whole[:end], pydicom.uid.JPEGBaseline8Bit, Rows=64, Columns=64))


@pytest.mark.parametrize(
    "name", ["JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm"], ids=["12 bits", "lossless", "JPEG-LS"]
)
def test_nor_is_one_that_pylibjpeg_alone_decodes(name):
    path = pydicom.data.get_testdata_file(name, download=False)
    assert reader.read_image(path).source_format == "dicom"
    dataset = pydicom.dcmread(path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(out := io.BytesIO())
    with pytest.raises(Truncated, match="truncated"):
        reader.read_image(out.getvalue())


def test_compressed_pixels_that_do_not_end_are_cut_off_and_no_other_kind_of_file():
    data = dicom_bytes(np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.uint16), compress=RLELossless)
    with pytest.raises(Truncated, match="cut off"):
        reader.read_image(data[: len(data) // 2])


def test_an_image_that_nobody_can_open_is_told_from_another_kind_of_file():
    with pytest.raises(Unreadable, match="begins as an image does"):
        reader.read_image(saved(ramp(), "PNG")[:30] + b"\0" * 200)


def test_sixteen_bits_with_alpha_are_refused_where_their_high_bytes_show_nothing():
    def png(values):
        rows = np.stack([values, np.full_like(values, 65535)], -1).astype(">u2")
        lines = b"".join(b"\0" + row.tobytes() for row in rows)
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 48, 32, 16, 4, 0, 0, 0)), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
        parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    np.testing.assert_array_equal(reader.read_image(png(ramp().astype(np.uint16) * 257)).array, ramp())
    with pytest.raises(Unreadable, match="save it as 16-bit grey"):
        reader.read_image(png(ramp().astype(np.uint16) * 16))


def test_so_are_tiffs_of_sixteen_bits_in_colour():
    colours = np.repeat(ramp().astype("<u2")[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(reader.read_image(tiff_of(colours * 257)).array, ramp())
    with pytest.raises(Unreadable, match="save it as 16-bit grey"):
        reader.read_image(tiff_of(colours * 16))


def test_a_progressive_jpeg_of_thousands_of_scans_is_refused_undecoded():
    data = saved(ramp(64, 64), "JPEG", progressive=True)
    assert reader.read_image(data).source_format == "jpeg"
    first = data.rindex(b"\xff\xda")
    many = data[:first] + (decoders.MAX_SCANS + 1) * data[first:-2] + data[-2:]
    for file in (many, encapsulated(many, pydicom.uid.JPEGBaseline8Bit, Rows=64, Columns=64)):
        with pytest.raises(Unreadable, match="more than 500 scans"):
            reader.read_image(file)


def test_what_follows_a_jpeg_is_not_held_in_memory(peak, tmp_path):
    (tmp_path / "x.jpg").write_bytes(saved(ramp(), "JPEG"))
    os.truncate(tmp_path / "x.jpg", 30_000_000)
    assert reader.read_image(tmp_path / "x.jpg").source_format == "jpeg"
    assert peak() < 10e6


def test_bytes_of_an_rle_picture_are_not_taken_for_scans_of_a_jpeg():
    picture = np.tile(np.array([218, 218, 40, 90], np.uint8), (64, 16))  # two equal bytes are coded as FF and themselves: FF DA
    picture[:, -2:] = 0
    data = dicom_bytes(picture, compress=RLELossless)
    assert data.count(b"\xff\xda") > decoders.MAX_SCANS
    np.testing.assert_array_equal(reader.read_image(data).array, picture)


@pytest.mark.parametrize(
    "data", [b"", b"patient, label\n" * 30, b"GIF89a" + b"\0" * 50, b"\0" * 4096], ids=("empty", "text", "gif", "zeros")
)
def test_no_image(data, tmp_path):
    file = tmp_path / "x.png"
    file.write_bytes(data)
    with pytest.raises(NotAnImage, match=r"x\.png"):
        reader.read_image(file)


def test_header_bomb_is_refused_before_decoding(peak):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in ((10_000, 10_000), (60_000, 60_000)):
            with pytest.raises(TooManyPixels):
                reader.read_image(png_header(*size) + struct.pack(">I", 1000) + b"IDAT" + b"\0" * 100)
    assert peak() < 10e6


def test_dicom_bombs_are_refused_before_decoding(peak):
    with pytest.raises(TooManyPixels):
        reader.read_image(dicom_bytes(ramp(), Rows=60_000, Columns=60_000))
    bomb = dicom_bytes(np.zeros((4000, 4000), np.uint8), syntax=DeflatedExplicitVRLittleEndian)
    assert len(bomb) < 50_000
    tracemalloc.reset_peak()
    with pytest.raises(TooManyPixels):
        reader.read_image(bomb, max_pixels=10_000)
    assert peak() < 4e6


def test_dicom_whose_codestream_is_larger_than_its_header_says():
    data = dicom_bytes(np.random.default_rng(0).integers(0, 255, (512, 512)).astype(np.uint8), compress=JPEG2000Lossless)
    lie = data.replace(
        struct.pack("<HHHHHH", 0x28, 0x10, 0x5355, 2, 512, 0x28)[:10], struct.pack("<HHHHHH", 0x28, 0x10, 0x5355, 2, 64, 0x28)[:10]
    )
    assert lie != data
    with pytest.raises(TooManyPixels):
        reader.read_image(lie, max_pixels=100_000)


@pytest.fixture
def boxed():
    """Returns a function that makes a DICOM file whose picture is a JP2 file, changed in its bytes."""

    def make(size, old=b"", new=b""):
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size)).astype(np.uint8))
        picture.save(jp2 := io.BytesIO(), "JPEG2000")
        dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(ramp(64, 64), compress=JPEG2000Lossless)))
        dataset.PixelData = encapsulate([jp2.getvalue().replace(old, new, 1)])
        dataset.save_as(out := io.BytesIO())
        return out.getvalue()

    return make


def test_a_codestream_in_a_jp2_file_is_measured_too(boxed):
    assert reader.read_image(boxed(64)).array.shape == (64, 64)
    with pytest.raises(TooManyPixels):
        reader.read_image(boxed(512), max_pixels=100_000)


def test_a_jp2_box_without_length_is_no_endless_one(boxed):
    """pydicom looks at such a box for ever: found by `make fuzz`."""

    def too_late(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, 20, 1)  # again and again: one decoder after the other is tried
    try:
        with pytest.raises(Unreadable, match="a JP2 box shorter than its own header"):
            reader.read_image(boxed(64, b"\x00\x00\x00\x14ftyp", b"\x00\x00\x00\x00ftyp"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_mean_and_deviation_of_the_grey_levels():
    picture = np.random.default_rng(0).integers(0, 256, (301, 401)).astype(np.uint8)
    image = reader.read_image(saved(picture, "PNG"))
    assert image.histogram.sum() == picture.size
    mean, deviation = mean_and_deviation(image.histogram)
    assert mean == picture.mean()
    assert deviation == pytest.approx(picture.std(), rel=1e-14)


def test_limit_is_the_callers():
    with pytest.raises(TooManyPixels, match="max_pixels"):
        reader.read_image(saved(ramp(), "PNG"), max_pixels=1000)


@pytest.mark.parametrize("size", [(1, 1), (15, 400)])
def test_too_small(size):
    with pytest.raises(TooSmall):
        reader.read_image(saved(np.zeros(size, np.uint8), "PNG"))


@pytest.mark.parametrize("value", [0, 77, 255])
def test_blank(value):
    with pytest.raises(Blank):
        reader.read_image(saved(np.full((32, 32), value, np.uint8), "PNG"))
    with pytest.raises(Blank):
        reader.read_image(saved(np.full((32, 32), value * 256, np.uint16), "PNG"))
    with pytest.raises(Blank):
        reader.read_image(dicom_bytes(np.full((32, 32), value, np.uint16)))


@pytest.mark.parametrize(
    ("level", "outlier", "kind"), [(2, 255, "nearly black"), (252, 0, "nearly white"), (100, 255, "nearly one grey level")]
)
def test_what_shows_nothing_but_a_few_pixels_is_blank(level, outlier, kind):
    picture = np.random.default_rng(0).integers(level, level + 4, (100, 100)).astype(np.uint8)
    picture[40:47, 50:57] = outlier
    with pytest.raises(Blank, match=f"{kind}.* between the grey levels {level} and {level + 3} of 255"):
        reader.read_image(saved(picture, "PNG"))
    deep = np.full((100, 100), 77, np.uint16)
    deep[50, 50] = 65535
    with pytest.raises(Blank, match="nearly black"):
        reader.read_image(saved(deep, "PNG"))


def test_low_contrast_is_no_reason_to_refuse():
    reader.read_image(saved(np.tile(np.linspace(100, 112, 64), (64, 1)).astype(np.uint8), "PNG"))


def test_several_frames():
    with pytest.raises(SeveralFrames):
        reader.read_image(dicom_bytes(ramp(), NumberOfFrames=2, PixelData=ramp().tobytes() * 2))
    with pytest.raises(SeveralFrames):
        reader.read_image(saved(Image.fromarray(ramp()), "TIFF", save_all=True, append_images=[Image.fromarray(ramp())]))


def test_the_pictures_of_a_tiff_are_not_counted(monkeypatch):
    """Pillow compares each place in the chain with all before: minutes for a file of some megabytes."""
    monkeypatch.setattr(TiffImageFile, "n_frames", property(lambda _: pytest.fail("counted")))
    frame = Image.fromarray(ramp())
    with pytest.raises(SeveralFrames):
        reader.read_image(saved(frame, "TIFF", save_all=True, append_images=[frame] * 3))


def test_a_dicom_of_many_frames_is_refused_before_they_are_read(peak):
    many = dicom_bytes(ramp(), NumberOfFrames=300, PixelData=ramp().tobytes() * 300)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with pytest.raises(SeveralFrames):
        reader.read_image(many)
    assert peak() - before < len(many) / 4


def test_dicom_without_picture():
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(ramp())))
    del dataset.PixelData
    out = io.BytesIO()
    dataset.save_as(out)
    with pytest.raises(NotAnImage):
        reader.read_image(out.getvalue())


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        reader.read_image(tmp_path / "none.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAnImage, match="pipe: not a regular file"):
        reader.read_image(tmp_path / "pipe")


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_an_image_error_or_nothing(seed):
    """Whatever bytes are flipped: a picture or an ImageError, never another exception."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (40, 40)).astype(np.uint8)
    sources = [
        saved(noise, "PNG"),
        saved(noise, "JPEG"),
        saved(noise, "TIFF"),
        saved(noise, "BMP"),
        dicom_bytes(noise),
        dicom_bytes(noise, compress=RLELossless),
    ]
    for data in sources:
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 12):
            damaged[at] = rng.integers(0, 256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ImageError):
                reader.read_image(bytes(damaged))


# === What leaves ===


def test_no_metadata_leaves():
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", "DOE^JANE")
    exif = Image.Exif()
    exif[0x010E], exif[0x8825] = "DOE^JANE", {1: "N"}
    sources = [
        saved(ramp(), "PNG", pnginfo=info, exif=exif),
        saved(ramp(), "JPEG", exif=exif, comment=b"DOE^JANE", icc_profile=b"DOE^JANE" * 20),
        saved(ramp(), "TIFF", description="DOE^JANE"),
        dicom_bytes(ramp()),
    ]
    for data in sources:
        assert b"DOE^JANE" in data
        out = reader.encode(reader.read_image(data))
        assert not any(secret in out for secret in (b"DOE", b"JANE", b"4711", b"19700101", b"Exif"))


def test_encoded_image_reads_back():
    image = reader.read_image(saved(ramp(), "PNG"))
    again = reader.read_image(reader.encode(image))
    np.testing.assert_array_equal(again.array, image.array)
    assert again.content_hash == image.content_hash
    assert reader.read_image(saved(ramp(48, 32), "PNG")).content_hash != image.content_hash


def test_limits_agree_with_the_schema():
    from pathlib import Path

    schema = (Path(__file__).parents[3] / "pipeline" / "schema.pbtxt").read_text()
    domains = {name: next(line for line in schema.splitlines() if f'name: "{name}"' in line) for name in ("height", "width", "std")}
    for name in ("height", "width"):
        assert f"min: {reader.MIN_SIDE} " in domains[name].partition("_domain {")[2]
    dullest = np.full((100, 100), 100, np.uint8)  # of what is accepted
    dullest[:2] += 8
    reader.read_image(saved(dullest, "PNG"))
    least = re.search(r"min: ([\d.]+)", domains["std"])
    assert least is not None
    assert dullest.std() > float(least[1])


def test_pixels_are_those_of_the_rules_that_models_carry():
    """Where this fails, files yield other pixels than before: raise READING_RULES and RECORDS_VERSION, and write the new values here."""
    deep = np.add.outer(np.arange(40) * 900, np.arange(60) * 400).astype(np.uint16)
    files = {
        "8 bits": saved(ramp(), "PNG"),
        "16 bits": saved(deep, "PNG"),
        "scaled down": saved(ramp(400, 1600), "PNG"),
        "colours": saved(np.stack([ramp(), 255 - ramp(), ramp() // 2], axis=-1), "PNG"),
        "window": dicom_bytes(deep, WindowCenter=20000, WindowWidth=15000),
        "no window": dicom_bytes(deep, PhotometricInterpretation="MONOCHROME1"),
        "long LUT": dicom_bytes(deep // 16, BitsStored=12, HighBit=11, VOILUTSequence=[long_lut()]),
        "unsigned": tiff_of(deep.astype("<u4") * 65_536),
    }
    hashes = {name: reader.read_image(data).content_hash[:8] for name, data in files.items()}
    assert (reader.READING_RULES, hashes) == (
        1,
        {
            "8 bits": "04644227",
            "16 bits": "71cda96b",
            "scaled down": "a03dc733",
            "colours": "fcc04a1a",
            "window": "33b7ffef",
            "no window": "ca4a6056",
            "long LUT": "4ebf1e57",
            "unsigned": "71cda96b",
        },
    )


# === What fuzzing found (tests/fuzz) ===


def encapsulated(frame, syntax, **tags):
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(ramp(20, 24), **tags)))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def test_gdcm_is_not_asked_wherever_it_is_installed(monkeypatch):
    """A damaged JPEG lets it end the process: it throws through its Python binding."""
    from pydicom.pixels import utils
    from pydicom.pixels.decoders import JPEGBaseline8BitDecoder

    asked = []
    whole = utils.pixel_array

    def seen(data, decoding_plugin):
        asked.append(decoding_plugin)
        return whole(data, decoding_plugin=decoding_plugin)

    monkeypatch.setattr("pydicom.pixels.pixel_array", seen)
    monkeypatch.setattr(type(JPEGBaseline8BitDecoder), "available_plugins", ("gdcm", "pillow", "pylibjpeg"))
    reader.read_image(encapsulated(saved(ramp(20, 24), "JPEG"), pydicom.uid.JPEGBaseline8Bit))
    assert asked == ["pillow"]


def test_a_panic_of_the_decoder_in_rust_is_an_unreadable_file():
    class PanicException(BaseException):
        __module__ = "pyo3_runtime"

    def panic(*_, **__):
        raise PanicException("index out of bounds")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pydicom.pixels.pixel_array", panic)
        with pytest.raises(Unreadable, match="index out of bounds"):
            reader.read_image(dicom_bytes(ramp()))
        patch.setattr("pydicom.pixels.pixel_array", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reader.read_image(dicom_bytes(ramp()))


def test_a_header_whose_values_cannot_be_read_says_nothing_about_a_patient():
    """pydicom looks at a value when it is asked for, long after the header."""
    from cxr.data.images import dicom

    data = dicom_bytes(ramp()).replace(b"\x10\x00\x40\x00CS", b"\x10\x00\x40\x00C\0")
    with pytest.raises(ImageError, match="cannot be decoded"):
        dicom.read_facts(io.BytesIO(data))

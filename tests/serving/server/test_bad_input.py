"""Bad images and bad requests over a real socket: the right code, at once, and a server that goes on."""

import io
import struct
import time
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

OPTIONS: dict[str, Any] = {"limits": {"max_image_pixels": 5_000_000}}


@pytest.fixture(scope="module")
def server(golden_models):
    from cxr.serving.server import Server

    with Server.start(golden_models, port=0, rest_port=None, **OPTIONS) as server:
        yield server


@pytest.fixture
def caller(server, connect):
    return connect(server.address)


def encoded(width: int, height: int, kind: str = "png") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(file, kind)
    return file.getvalue()


def png_bomb(side: int) -> bytes:
    """A valid 1-bit grey PNG of side x side pixels in some KB, written row by row in constant memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(9), bytes(1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_one_pixel_is_an_image(caller):
    outputs = caller.image(encoded(1, 1))
    assert list(outputs["size"].int_val) == [1, 1]
    assert list(outputs["mean"].float_val) == [200, 100, 50]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_truncated_image_names_the_decoders_error(caller, kind):
    code, message = caller.refusal(lambda: caller.image(encoded(64, 64, kind)[:-40]))
    assert code == "INVALID_ARGUMENT"
    assert not message.startswith("Graph execution error")
    assert "jpeg::Uncompress" in message or "PNG" in message


def test_text_is_no_image(caller):
    code, message = caller.refusal(lambda: caller.image(b"Dear radiologist,"))
    assert (code, message[:26]) == ("INVALID_ARGUMENT", "Unknown image file format.")


def test_bad_image_in_a_batch_hurts_only_its_sender(caller):
    """Four clients at once: the three good ones get answers although they may share a batch with the bad one."""
    from concurrent.futures import ThreadPoolExecutor

    good = encoded(8, 8)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            futures = [pool.submit(caller.image, good) for _ in range(3)]
            bad = pool.submit(lambda: caller.refusal(lambda: caller.image(b"bad")))
            assert bad.result()[0] == "INVALID_ARGUMENT"
            assert all(list(future.result()["size"].int_val) == [8, 8] for future in futures)


def test_400_megapixels_are_refused_without_decoding(caller):
    bomb = png_bomb(20_000)
    assert len(bomb) < 200_000
    begin = time.monotonic()
    code, message = caller.refusal(lambda: caller.image(bomb, timeout=5))  # decoding takes longer, and 1.2 GB
    assert (code, message) == ("INVALID_ARGUMENT", "Image 0 of the request has more than 5000000 pixels when decoded")
    assert time.monotonic() - begin < 5
    caller.image(encoded(8, 8))


def progressive(extra_scans: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times more: each goes over the whole picture again."""
    file = io.BytesIO()
    Image.new("L", (64, 64), 100).save(file, "jpeg", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + (extra_scans + 1) * data[last:-2] + data[-2:]


def test_a_jpeg_of_thousands_of_scans_is_refused_undecoded(caller):
    import tensorflow as tf

    from cxr.serving.server.images import check_images

    assert list(caller.image(progressive(100))["size"].int_val) == [64, 64]
    bomb = progressive(600)
    text = "Image 0 of the request is a JPEG of more than 500 scans; save it anew, as PNG or as baseline JPEG"
    assert caller.refusal(lambda: caller.image(bomb)) == ("INVALID_ARGUMENT", text)
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[bomb]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": feature})).SerializeToString()
    with pytest.raises(Exception, match=text):
        check_images(np.array([example], dtype=object), 5_000_000, 5_000_000)


def test_image_hidden_in_an_example_is_found():
    import tensorflow as tf

    from cxr.serving.server.errors import ServingError
    from cxr.serving.server.images import check_images

    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded(3000, 2000)]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": feature})).SerializeToString()
    check_images(np.array([example], dtype=object), 6_000_000, 6_000_000)
    with pytest.raises(ServingError, match="Image 0 of the request"):
        check_images(np.array([example], dtype=object), 5_999_999, 6_000_000)


def test_empty_batch_is_refused(caller):
    code, message = caller.refusal(lambda: caller.image())
    assert code == "INVALID_ARGUMENT"
    assert "empty" in message


def test_5000_images_in_one_request(caller):
    code, message = caller.refusal(lambda: caller.image(*[encoded(8, 8)] * 5000))
    assert (code, message) == ("INVALID_ARGUMENT", "Task size 5000 is larger than maximum input batch size 32")


def test_5000_images_are_split_when_asked_for(start, golden_models, connect):
    sizes = {"enable_large_batch_splitting": True, "max_batch_size": 5000, "max_execution_batch_size": 32}
    caller = connect(start(golden_models, batching=sizes).address)
    outputs = caller.image(*[encoded(8, 8), encoded(4, 6)] * 2500)
    assert list(outputs["size"].int_val) == [8, 8, 6, 4] * 2500
    refused = caller.refusal(lambda: caller.image(*[encoded(8, 8)] * 5001))  # splitting does not raise the limit of a request
    assert refused == ("INVALID_ARGUMENT", "Task size 5001 is larger than maximum input batch size 5000")


def test_no_memory_left_is_overload():
    """RESOURCE_EXHAUSTED would tell the client that its request is too large, and it would send halves: more load."""
    from cxr.serving.server.errors import from_exception

    assert from_exception(MemoryError()).code.name == "UNAVAILABLE"


def test_message_above_the_limit(start, golden_models, connect):
    caller = connect(start(golden_models, limits={"max_message_bytes": 100_000}).address)
    code, _ = caller.refusal(lambda: caller.image(b"x" * 200_000))
    assert code == "RESOURCE_EXHAUSTED"
    assert caller.half()[0] == 124


@pytest.mark.parametrize(
    ("fields", "shape", "values"),
    [
        ({"dtype": 1, "float_val": [1.0, 2.0, 3.0]}, [2], [1.0, 2.0]),
        ({"dtype": 1, "float_val": [1.0]}, [0], []),
        ({"dtype": 1, "float_val": [1.0, 2.0]}, [], 1.0),
        ({"dtype": 9, "int64_val": [1, 2, 3]}, [1], [1]),
        ({"dtype": 10, "bool_val": [True, False, True]}, [2], [True, False]),
        ({"dtype": 8, "scomplex_val": [1.0, 2.0, 3.0, 4.0]}, [1], [1.0 + 2.0j]),
        ({"dtype": 7, "string_val": [b"a", b"b", b"c"]}, [2], [b"a", b"b"]),
        ({"dtype": 4, "int_val": [300]}, [1], [44]),
    ],
)
def test_values_beyond_shape_and_type_are_read_as_tensorflow_reads_them(fields: dict[str, Any], shape: list[int], values: Any):
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    from cxr.serving.server.tensors import checked_shape, to_array

    tensor = tensor_pb2.TensorProto(**fields)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    assert checked_shape(tensor, 1000) == shape
    found = to_array(tensor)
    its_own = tf.io.parse_tensor(tensor.SerializeToString(), fields["dtype"]).numpy()  # Tensor::FromProto, as TensorFlow Serving calls it
    assert found.tolist() == its_own.tolist() == values
    assert (found.dtype, found.shape) == (its_own.dtype, tuple(shape))


def test_a_request_with_more_values_than_its_shape_is_answered(caller):
    request = caller.request(x=np.array([1.0, 2.0, 4.0], np.float32))
    tensor = request.inputs["x"]
    tensor.ClearField("tensor_content")
    tensor.float_val.extend([1.0, 2.0, 4.0])
    tensor.tensor_shape.dim[0].size = 2
    assert list(caller.prediction.Predict(request, timeout=60).outputs["y"].float_val) == [3.5, 4.0]


SHORT: dict[str, tuple[dict[str, Any], list[int]]] = {  # messages of some 30 bytes that would unpack to hundreds of megabytes
    "strings": ({"dtype": 7}, [10_000_000]),
    "one string": ({"dtype": 7, "string_val": [b"x"]}, [16, 1_000_000]),
    "floats": ({"dtype": 1, "float_val": [1.0]}, [60_000_000]),
    "float images": ({"dtype": 1}, [32, 600, 600, 3]),
    "bytes": ({"dtype": 4, "int_val": [1]}, [200_000_000]),
    "halves": ({"dtype": 19, "half_val": [1]}, [1, 100_000_000]),
    "complex": ({"dtype": 8, "scomplex_val": [1.0, 0.0]}, [30_000_000]),
    "bools": ({"dtype": 10}, [2**27]),
    "content": ({"dtype": 3, "tensor_content": b"1234"}, [50_000_000]),
    "string content": ({"dtype": 7, "tensor_content": b"1234"}, [10_000_000]),
    "of no size": ({"dtype": 20}, [1]),
    "beyond all memory": ({"dtype": 1, "float_val": [1.0]}, [2**40]),
}


@pytest.mark.parametrize("case", SHORT)
def test_short_message_for_a_huge_tensor(server, caller, case):
    """Refused before it is unpacked, without batching too, which would refuse so many examples anyhow."""
    from tensorflow.core.framework import tensor_pb2

    from cxr.serving.server.batching import Call
    from cxr.serving.server.errors import ServingError
    from cxr.serving.server.options import Limits
    from cxr.serving.server.predict import predict
    from cxr.serving.server.warmup import DIRECT

    fields, shape = SHORT[case]
    request = caller.request("half_plus")
    tensor = tensor_pb2.TensorProto(**fields)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    request.inputs["x"].CopyFrom(tensor)
    assert caller.refusal(lambda: caller.prediction.Predict(request, timeout=5)) == ("INVALID_ARGUMENT", "tensor parsing error: x")
    tracemalloc.start()
    try:
        with pytest.raises(ServingError, match="tensor parsing error: x"):
            predict(request, server.manager, DIRECT, Limits(), Call())
        assert tracemalloc.get_traced_memory()[1] < 2**20  # numpy's arrays are counted
    finally:
        tracemalloc.stop()


def test_batch_size_is_checked_before_strings_are_made(caller):
    request = caller.request("image", signature="image_bytes")
    request.inputs["image_bytes"].dtype = 7
    request.inputs["image_bytes"].tensor_shape.dim.add(size=100_000)
    message = "Task size 100000 is larger than maximum input batch size 32"
    assert caller.refusal(lambda: caller.prediction.Predict(request, timeout=5)) == ("INVALID_ARGUMENT", message)


def test_image_tensor_of_wrong_rank_does_not_reach_the_graph(caller):
    """oneDNN's convolution would abort the process for some models."""
    request = caller.request("image", signature="image_tensor", image_tensor=np.zeros([8, 8, 3], np.float32))
    code, message = caller.refusal(lambda: caller.prediction.Predict(request, timeout=5))
    assert code == "INVALID_ARGUMENT"
    assert message == "Shape of tensor _arg_image_tensor_image_tensor_0_0 [8,8,3] is not compatible with expected shape [?,8,8,3]."


def test_long_messages_are_cut(caller):
    code, message = caller.refusal(lambda: caller.half(signature="s" * 3000))
    assert code == "FAILED_PRECONDITION"
    assert message.endswith("...TRUNCATED")
    assert len(message) == 1024 + len("...TRUNCATED")


def test_gif_frames_count():
    from cxr.serving.server.images import pixels

    file = io.BytesIO()
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "green", "blue")]
    frames[0].save(file, "gif", save_all=True, append_images=frames[1:])
    assert pixels(file.getvalue()) == 300
    assert pixels(b"GIF89a") == 0
    assert pixels(b"plain text") == 0


def gif_of_small_changes(frames: int, side: int) -> bytes:
    """A GIF whose first frame is whole, and whose others are one pixel each: a few bytes, and a whole picture each once decoded."""
    file = io.BytesIO()
    pictures = [Image.new("L", (side, side)) for _ in range(frames)]
    for number, picture in enumerate(pictures):
        picture.putpixel((0, 0), number % 2 * 255)
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:])
    return file.getvalue()


def test_frames_of_a_gif_count_as_large_as_they_are_decoded(caller):
    import tensorflow as tf

    from cxr.serving.server.images import pixels

    bomb = gif_of_small_changes(20, 600)
    assert tf.size(tf.io.decode_gif(bomb)) / 3 == pixels(bomb) == 20 * 600 * 600
    code, message = caller.refusal(lambda: caller.image(bomb))
    assert (code, message) == ("INVALID_ARGUMENT", "Image 0 of the request has more than 5000000 pixels when decoded")


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "webp", "gif"])
def test_size_is_read_from_the_header(kind):
    from cxr.serving.server.images import pixels

    assert pixels(encoded(30, 20, kind)) == 600


def test_broken_files_are_measured_too():
    """What TensorFlow's decoders tolerate and an image library may refuse."""
    from cxr.serving.server.images import check_images, pixels

    png = bytearray(png_bomb(800))
    png[29] ^= 0xFF  # the header's checksum
    assert pixels(bytes(png)) == 640_000
    jpeg = encoded(40, 30, "jpeg")
    assert pixels(jpeg[:2] + b"\xff" * 7 + jpeg[3:]) == 1200  # padding before a marker
    assert pixels(jpeg[:100]) == 0  # ends before the frame
    with pytest.raises(Exception, match="JPEG XL"):
        pixels(b"\xff\x0a" + bytes(20))

    import tensorflow as tf

    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png_bomb(8000)]))
    hidden = b"\x10\x00" + tf.train.Example(features=tf.train.Features(feature={"image": feature})).SerializeToString()
    with pytest.raises(Exception, match="more than 1000000 pixels"):
        check_images(np.array([hidden], dtype=object), 1_000_000, 1_000_000)

"""The log of requests: what is kept of them over a real socket, and that no answer waits for it or fails with it."""

import base64
import io
import json
import resource
import shutil
import threading
import time
import urllib.request

import numpy as np
import pytest
from dicom_files import dicom_bytes
from PIL import Image, PngImagePlugin

from cxr.core.errors import CxrError

NAME = "DOE^JANE"


def tagged(kind, seed=0):
    """A picture whose file names a patient wherever its format lets it."""
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 48), np.uint8))
    exif = Image.Exif()
    exif[0x010E], exif[0x9286] = f"chest of {NAME}", NAME  # description, user comment
    out = io.BytesIO()
    if kind == "png":
        words = PngImagePlugin.PngInfo()
        words.add_text("PatientName", NAME)
        words.add_text("Comment", NAME, zip=True)
        words.add_itxt("XML:com.adobe.xmp", f"<x>{NAME}</x>")
        picture.save(out, "PNG", pnginfo=words, exif=exif)
        return out.getvalue() + NAME.encode()  # behind the end, too
    picture.save(out, "JPEG", exif=exif, comment=NAME.encode())
    return out.getvalue()


def logs(folder):
    """The records of all files, and the files' bytes."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    files = sorted(folder.glob("*.tfrecord"))
    records = list(tf.data.TFRecordDataset([str(file) for file in files]).as_numpy_iterator()) if files else []
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records], b"".join(file.read_bytes() for file in files)


def counted(server):
    """Outcome of the sampled requests: how many."""
    lines = [line for line in server._metrics.text().decode().splitlines() if line.startswith(":tensorflow:serving:request_log_count{")]
    return {line.partition('status_code="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


def options(folder, **more):
    return {"folder": folder, "sampling": 1.0, **more}


def test_only_pixels_and_answers_are_kept(start, models, connect, tmp_path):
    from cxr.data.images import reader

    folder = tmp_path / "new" / "logs"
    server = start(models, rest_port=0, request_log=options(folder, sampling=0.999999))
    caller = connect(server.address)
    sent = [tagged("png"), tagged("jpeg", 1)]
    request = caller.request("image", signature="image_bytes", image_bytes=np.array(sent, dtype=object))
    request.inputs["image_bytes"].tensor_shape.dim[0].name = NAME
    answer = caller.prediction.Predict(request, timeout=60)
    body = {"signature_name": "image_bytes", "instances": [{"b64": base64.b64encode(tagged("png", 2)).decode()}]}
    with urllib.request.urlopen(f"http://{server.rest_address}/v1/models/image:predict", json.dumps(body).encode(), timeout=60) as reply:
        assert len(json.loads(reply.read())["predictions"]) == 1
    server.stop()

    found, text = logs(folder)
    assert NAME.encode() not in text
    assert len(found) == 2
    kept = found[0].predict_log
    assert kept.response == answer
    assert (kept.request.model_spec.name, kept.request.model_spec.version.value) == ("image", 1)
    assert kept.request.model_spec.signature_name == "image_bytes"
    assert kept.request.inputs["image_bytes"].tensor_shape.dim[0].size == 2
    assert found[0].log_metadata.sampling_config.sampling_rate == pytest.approx(0.999999)
    png, jpeg = (reader.read_image(value) for value in kept.request.inputs["image_bytes"].string_val)
    assert (png.array == reader.read_image(sent[0]).array).all()
    assert np.abs(jpeg.array.astype(int) - reader.read_image(sent[1]).array).mean() < 4  # encoded anew
    assert (png.format, jpeg.format) == ("png", "jpeg")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert counted(server) == {"OK": 2}


def test_a_dicom_header_never_reaches_the_log(start, models, connect, tmp_path):
    from cxr.serving.client.inputs import encoded

    pixels = np.random.default_rng(0).integers(0, 255, (32, 40), np.uint8)
    study = dicom_bytes(pixels, PatientName=NAME, PatientID="MRN-4711")
    folder = tmp_path / "logs"
    server = start(models, request_log=options(folder))
    caller = connect(server.address)
    caller.image(encoded(study))  # as `cxr predict` sends it
    assert caller.refusal(lambda: caller.image(study))[0] == "INVALID_ARGUMENT"
    server.stop()
    found, text = logs(folder)
    assert len(found) == 1
    assert b"DOE" not in text
    assert b"4711" not in text


def test_of_a_tf_example_the_picture_alone_is_kept():
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    from cxr.data.images.errors import ImageError
    from cxr.serving.server.log_record import prediction_log

    def request(*examples):
        made = predict_pb2.PredictRequest()
        made.inputs["examples"].CopyFrom(tf.make_tensor_proto([example.SerializeToString() for example in examples]))
        return made

    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(tagged("png"))
    example.features.feature["patient_id"].bytes_list.value.append(NAME.encode())
    example.features.feature[NAME].int64_list.value.append(1)
    record = prediction_log(request(example), predict_pb2.PredictResponse(), 1.0)
    assert NAME.encode() not in record
    assert b"image" in record
    floats = predict_pb2.PredictRequest()
    floats.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    words = predict_pb2.PredictRequest()
    words.inputs["image_reading"].CopyFrom(tf.make_tensor_proto([NAME]))
    for other in (floats, words, request(tf.train.Example())):
        with pytest.raises(ImageError) as caught:
            prediction_log(other, predict_pb2.PredictResponse(), 1.0)
        assert NAME not in str(caught.value)


def test_a_request_for_a_heat_map_is_kept_with_its_class():
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    from cxr.data.images.errors import ImageError
    from cxr.serving.server.log_record import prediction_log

    request = predict_pb2.PredictRequest()
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([tagged("png"), tagged("jpeg")]))
    request.inputs["class_index"].CopyFrom(tf.make_tensor_proto([2, -1], tf.int64))
    request.inputs["class_index"].string_val.append(NAME.encode())  # of another type: it has no effect
    request.inputs["class_index"].tensor_shape.dim[0].name = NAME
    record = prediction_log(request, predict_pb2.PredictResponse(), 1.0)
    assert NAME.encode() not in record
    kept = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
    assert tf.make_ndarray(kept.inputs["class_index"]).tolist() == [2, -1]
    assert len(kept.inputs["image_bytes"].string_val) == 2
    for name, value in (("class_index", tf.make_tensor_proto([1.0])), ("patient", tf.make_tensor_proto([4711], tf.int64))):
        other = predict_pb2.PredictRequest()
        other.CopyFrom(request)
        other.inputs[name].CopyFrom(value)
        with pytest.raises(ImageError):
            prediction_log(other, predict_pb2.PredictResponse(), 1.0)


def test_what_is_no_picture_is_counted_and_not_kept(start, models, connect, tmp_path):
    server = start(models, request_log=options(tmp_path / "logs"))
    assert connect(server.address).half() == (123, [2.5, 3.0])
    server.stop()
    assert logs(tmp_path / "logs")[0] == []
    assert counted(server) == {"INVALID_ARGUMENT": 1}


def test_nothing_is_logged_unless_asked_for(start, models, connect, tmp_path):
    server = start(models)
    connect(server.address).image(tagged("png"))
    server.stop()
    assert counted(server) == {}
    assert not [thread for thread in threading.enumerate() if thread.name == "request-log"]


def test_a_sample_is_a_sample(start, models, connect, tmp_path):
    server = start(models, request_log=options(tmp_path / "logs", sampling=0.5))
    caller = connect(server.address)
    for _ in range(200):
        caller.half()
    server.stop()
    assert 60 < sum(counted(server).values()) < 140  # 5 standard deviations


def test_answers_do_not_wait_for_the_disk(start, models, connect, tmp_path, monkeypatch, until):
    from cxr.serving.server.log_files import LogFiles

    go = threading.Event()
    write = LogFiles.write
    monkeypatch.setattr(LogFiles, "write", lambda self, record: (go.wait(60), write(self, record))[1])
    picture = tagged("jpeg")
    server = start(models, request_log=options(tmp_path / "logs", queue_bytes=3 * len(picture)))
    caller = connect(server.address)
    for _ in range(12):
        assert caller.image(picture)["size"].int_val[:] == [40, 48]  # answered though nothing can be written
    until(lambda: counted(server).get("RESOURCE_EXHAUSTED", 0) >= 9, "the queue being full")
    go.set()
    server.stop()
    found = counted(server)
    assert found["OK"] + found["RESOURCE_EXHAUSTED"] == 12
    assert len(logs(tmp_path / "logs")[0]) == found["OK"] > 0


def test_a_disk_that_refuses_is_a_warning_each_time_it_begins_to(start, models, connect, tmp_path, monkeypatch, until, caplog):
    from cxr.serving.server import request_log

    monkeypatch.setattr(request_log, "PAUSE", 0.0)
    server = start(models, request_log=options(tmp_path / "logs"))
    caller = connect(server.address)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # bytes of a file: what comes above, the kernel refuses
        for number in range(3):
            assert caller.image(tagged("jpeg", number))["size"].int_val[:] == [40, 48]
        until(lambda: counted(server).get("UNAVAILABLE") == 3, "three refusals")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    shutil.rmtree(tmp_path / "logs")  # and the folder goes, too
    caller.image(tagged("png"))
    until(lambda: counted(server).get("OK") == 1, "a record")
    assert caplog.text.count("requests cannot be logged for now, answers are not affected") == 1
    assert caplog.text.count("requests are logged again") == 1
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # another time, months later
        caller.image(tagged("png", 1))
        until(lambda: counted(server).get("UNAVAILABLE") == 4, "a refusal")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caplog.text.count("requests cannot be logged for now, answers are not affected") == 2
    caller.image(tagged("png", 2))
    server.stop()
    assert counted(server) == {"UNAVAILABLE": 4, "OK": 2}
    assert len(logs(tmp_path / "logs")[0]) == 1


def test_files_appear_whole_and_the_oldest_go(tmp_path):
    """A reader that looks all the time, at the newest file, never sees a half one."""
    import tensorflow as tf

    from cxr.serving.server.log_files import LogFiles

    seen: list[BaseException | int] = []
    stop = threading.Event()

    def look():
        while not stop.is_set():
            for file in sorted(tmp_path.joinpath("logs").glob("*.tfrecord"), reverse=True)[:1]:
                try:
                    seen.append(sum(len(record) for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()))
                except tf.errors.NotFoundError:
                    continue  # one of the oldest, just gone
                except Exception as error:
                    seen.append(error)

    files = LogFiles(tmp_path / "logs", file_bytes=1000, total_bytes=50_000, seconds=600)
    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(100_000):
            files.write(bytes([number % 251]) * 300)
            if number % 10 == 0:
                time.sleep(0.03)  # longer than a look takes: at a file that is half written, two times in three
            if number > 200 and len(seen) > 20:
                break
    finally:
        stop.set()
        reader.join()
    files.end_file()
    assert seen
    assert set(seen) <= {900}  # bytes of three records
    left = sorted((tmp_path / "logs").iterdir())
    assert sum(file.stat().st_size for file in left) <= 50_000
    newest = list(tf.data.TFRecordDataset(str(left[-1])).as_numpy_iterator())
    assert newest[-1][0] == number % 251
    assert not [file for file in left if file.name.startswith(".")]


def test_an_old_file_appears_however_small(tmp_path):
    from cxr.serving.server.log_files import LogFiles

    files = LogFiles(tmp_path / "logs", file_bytes=10_000, total_bytes=50_000, seconds=0.0)
    files.write(b"one")
    assert not list((tmp_path / "logs").glob("*.tfrecord"))
    files.end_old_file()
    assert len(list((tmp_path / "logs").glob("*.tfrecord"))) == 1


def test_a_folder_that_others_may_read_is_refused(models, tmp_path):
    from cxr.serving.server import Server

    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(CxrError, match="others may read this folder; chmod 700 it"):
        Server.start(models, port=0, request_log=options(tmp_path / "open"))
    (tmp_path / "file").write_text("")
    with pytest.raises(CxrError, match="cannot be made"):
        Server.start(models, port=0, request_log=options(tmp_path / "file"))

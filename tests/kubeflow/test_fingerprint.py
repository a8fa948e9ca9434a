import pytest

from cxr.core.errors import CxrError
from cxr.kubeflow.fingerprint import data_fingerprint, main


def test_content_names_and_nothing_else(tmp_path):
    file = tmp_path / "train/a.tfrecord.gz"
    file.parent.mkdir()
    file.write_bytes(b"1")
    first = data_fingerprint(str(tmp_path))
    file.write_bytes(b"1")  # a new time, the same content
    assert data_fingerprint(str(tmp_path)) == first
    file.write_bytes(b"2")
    assert data_fingerprint(str(tmp_path)) != first


def test_downloaded_objects_are_read_where_the_launcher_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    (tmp_path / "s3/bucket/data").mkdir(parents=True)
    (tmp_path / "s3/bucket/data/a").write_bytes(b"1")
    assert data_fingerprint("s3://bucket/data") == data_fingerprint(str(tmp_path / "s3/bucket/data"))


def test_no_data_is_an_error(tmp_path, capsys):
    with pytest.raises(CxrError, match="is the volume mounted"):
        data_fingerprint(str(tmp_path / "nothing"))
    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "no files" in capsys.readouterr().err
    for data, message in (("s3://b/none", "launcher found nothing"), ("minio://b/none", "launcher found nothing"), ("", "absolute path")):
        with pytest.raises(CxrError, match=message):
            data_fingerprint(data)

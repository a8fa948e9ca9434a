import pytest

from cxr.kubeflow.uris import artifact_uri, is_object_store, local_path


@pytest.mark.parametrize(
    ("uri", "path"), [("gs://b/a", "/gcs/b/a"), ("s3://b/a/c", "/s3/b/a/c"), ("minio://mlpipeline/v2", "/minio/mlpipeline/v2")]
)
def test_the_launchers_folders(monkeypatch, uri, path):
    monkeypatch.delenv("CXR_KUBEFLOW_ROOT", raising=False)
    assert is_object_store(uri)
    assert local_path(uri) == path
    assert artifact_uri(path) == uri


def test_other_paths_stay(monkeypatch):
    monkeypatch.delenv("CXR_KUBEFLOW_ROOT", raising=False)
    assert not is_object_store("/mnt/cxr/data")
    assert local_path("/mnt/cxr/data") == artifact_uri("/mnt/cxr/data") == "/mnt/cxr/data"

from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.kubeflow.cluster import Cluster, load_cluster

ROOT = Path(__file__).parents[2]
BASE = {"data": "/mnt/cxr/data", "serving_models": "/mnt/cxr/models", "volumes": [{"claim": "cxr", "mount_path": "/mnt/cxr"}]}


def test_the_shipped_one_loads():
    cluster = load_cluster(None)
    assert cluster.on_volume(cluster.data)
    assert cluster.on_volume(cluster.serving_models)


def test_servers_mount_what_the_pipeline_pushes_to():
    """One claim under one name: in the shipped cluster file, the manifest that makes it, TensorFlow Serving's pods and KServe."""
    import yaml

    cluster = load_cluster(None)
    (volume,) = cluster.volumes
    folder = cluster.serving_models.removeprefix(f"{volume.mount_path}/")
    assert yaml.safe_load((ROOT / "deploy/kubeflow/volume.yaml").read_text())["metadata"]["name"] == volume.claim
    pod = yaml.safe_load((ROOT / "deploy/kubernetes/base/deployment.yaml").read_text())["spec"]["template"]["spec"]
    (claimed,) = [item for item in pod["volumes"] if "persistentVolumeClaim" in item]
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == claimed["name"]]
    assert (claimed["persistentVolumeClaim"]["claimName"], mount["subPath"]) == (volume.claim, folder)
    service = yaml.safe_load((ROOT / "deploy/kserve/inference-service.yaml").read_text())
    assert service["spec"]["predictor"]["model"]["storageUri"].startswith(f"pvc://{volume.claim}/{folder}/")


def test_the_more_special_entry_of_nodes_wins_field_by_field():
    nodes = {"default": {"cpu": "1", "memory": "2Gi"}, "Trainer": {"memory": "16Gi", "gpus": 1}, "Trainer-mobilenet": {"gpus": 0}}
    cluster = Cluster.model_validate({**BASE, "nodes": nodes})
    found = cluster.node("Trainer-mobilenet")
    assert (found.cpu, found.memory, found.gpus) == ("1", "16Gi", 0)
    assert cluster.node("Evaluator-mobilenet").gpus is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serving_models": "/tmp/models"}, "lost with the pod"),
        ({"serving_models": "/mnt/cxr2/models"}, "lost with the pod"),
        ({"data": "/home/me/data"}, "neither on one of the volumes"),
        ({"secrets": [{"name": "s"}]}, "either `env` or `mount_path`"),
        ({"nodes": {"Trainer": {"memory": "16 GB"}}}, "nodes.Trainer.memory"),
        ({"beam": {"runner": "dataflow", "project": "p", "region": "r", "shared": "gs://b/s", "worker_image": "i"}}, "gs:// only"),
        ({"beam": {"runner": "flink", "master": "f:8081", "shared": "/tmp/s"}}, "beam.shared"),
        ({"pipeline_root": "/mnt/cxr/root"}, "pipeline_root"),
        ({"data": "gs://b/d"}, "environment_credentials"),
        ({"data": "minio://b/d", "pipeline_root": "gs://b/root"}, "environment_credentials"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, change, message):
    import yaml

    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({**BASE, **change}))
    with pytest.raises(CxrError, match=message):
        load_cluster(file)


@pytest.mark.parametrize(
    "change",
    [
        {"data": "gs://b/d", "pipeline_root": "gs://b/root"},  # KFP's own credentials
        {"data": "gs://b/d", "pipeline_root": "gs://other/root", "environment_credentials": True},
        {"data": "minio://b/d", "environment_credentials": True},
    ],
)
def test_data_in_a_bucket(change):
    assert Cluster.model_validate({**BASE, **change}).data == change["data"]


@pytest.mark.parametrize(
    ("beam", "argument"),
    [
        ({"runner": "direct"}, "--runner=FnApiRunner"),
        ({"runner": "direct", "workers": 2}, "--direct_running_mode=multi_processing"),
        ({"runner": "flink", "master": "f:8081", "shared": "/mnt/cxr/s"}, "--flink_master=f:8081"),
        ({"runner": "spark", "job_endpoint": "s:8099", "shared": "/mnt/cxr/s"}, "--job_endpoint=s:8099"),
    ],
)
def test_beams_options(beam, argument):
    assert argument in Cluster.model_validate({**BASE, "beam": beam}).beam.arguments()


def test_beam_knows_the_options():
    """Beam parses them without complaint: a misspelt option would be ignored silently."""
    from apache_beam.options.pipeline_options import PipelineOptions

    dataflow = {"runner": "dataflow", "project": "p", "region": "r", "shared": "gs://b/s", "worker_image": "i"}
    for change in ({"beam": dataflow, "data": "gs://b/d"}, {"beam": {"runner": "flink", "master": "f:8081", "shared": "/mnt/cxr/s"}}):
        arguments = Cluster.model_validate({**BASE, **change}).beam.arguments()
        known = PipelineOptions(list(arguments)).get_all_options(drop_default=True)
        assert {argument.split("=")[0].lstrip("-") for argument in arguments} <= set(known)

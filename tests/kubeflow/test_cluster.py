from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.kubeflow.cluster import Cluster, load_cluster
from cxr.pipeline.pipeline_config import load

ROOT = Path(__file__).parents[2]
BASE = {"data": "/mnt/cxr/data", "serving_models": "/mnt/cxr/models", "volumes": [{"claim": "cxr", "mount_path": "/mnt/cxr"}]}
WORKERS = {"shared": "/mnt/cxr/s", "worker_image": "i"}
FLINK = {**WORKERS, "runner": "flink", "job_endpoint": "f:8099", "parallelism": 4}
FLINK_JAR = {**WORKERS, "runner": "flink", "master": "f:8081", "version": "1.20", "jar": "/opt/job.jar"}
SPARK = {**WORKERS, "runner": "spark", "job_endpoint": "s:8099", "artifact_endpoint": "s:8098"}
DATAFLOW = {
    **WORKERS,
    "runner": "dataflow",
    "project": "p",
    "region": "r",
    "shared": "gs://b/s",
    "service_account": "a",
    "subnetwork": "n",
    "max_workers": 4,
}


def secret(name, *nodes):
    return {"name": name, "env": {"K": "V"}, "nodes": list(nodes)}


def test_the_shipped_one_loads():
    cluster = load_cluster(None)
    assert cluster.on_volume(cluster.data)
    assert cluster.on_volume(cluster.serving_models)


def test_servers_mount_what_the_pipeline_pushes_to():
    """One claim under one name: in the shipped cluster file, the manifest that makes it, TensorFlow Serving's pods and KServe."""
    import yaml

    cluster = load_cluster(None)
    (volume,) = cluster.volumes
    folder = cluster.models_of(load("full").name).removeprefix(f"{volume.mount_path}/")
    assert yaml.safe_load((ROOT / "deploy/kubeflow/volume.yaml").read_text())["metadata"]["name"] == volume.claim
    pod = yaml.safe_load((ROOT / "deploy/kubernetes/base/deployment.yaml").read_text())["spec"]["template"]["spec"]
    (claimed,) = [item for item in pod["volumes"] if "persistentVolumeClaim" in item]
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == claimed["name"]]
    assert (claimed["persistentVolumeClaim"]["claimName"], mount["subPath"]) == (volume.claim, folder)
    service = yaml.safe_load((ROOT / "deploy/kserve/inference-service.yaml").read_text())
    assert service["spec"]["predictor"]["model"]["storageUri"].startswith(f"pvc://{volume.claim}/{folder}/")


def test_a_folder_beside_the_launchers_is_none_of_its():
    volumes = [{"claim": "a", "mount_path": "/mnt/cxr"}, {"claim": "b", "mount_path": "/s3-data"}]
    assert Cluster.model_validate({**BASE, "volumes": volumes}).on_volume("/s3-data/x")


def test_the_more_special_entry_of_nodes_wins_field_by_field():
    nodes = {"default": {"cpu": "1", "memory": "2Gi"}, "Trainer": {"memory": "16Gi", "gpus": 1}, "Trainer-mobilenet": {"gpus": 0}}
    cluster = Cluster.model_validate({**BASE, "nodes": nodes})
    found = cluster.node("Trainer-mobilenet")
    assert (found.cpu, found.memory, found.gpus) == ("1", "16Gi", 0)
    assert cluster.node("Evaluator-mobilenet").gpus is None


@pytest.mark.parametrize("quantity", ["4", "500m", "4k", "4Ki", "1.5Gi", ".5", "1.", "2P", "1Ei", "1e3", "12E", "16E9"])
def test_quantities_are_those_of_kubernetes(quantity: str):
    assert Cluster.model_validate({**BASE, "nodes": {"Trainer": {"memory": quantity}}}).node("Trainer").memory == quantity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serving_models": "/tmp/models"}, "lost with the pod"),
        ({"serving_models": "/mnt/cxr2/models"}, "lost with the pod"),
        ({"data": "/srv/data"}, "neither on one of the volumes"),
        ({"secrets": [{"name": "s"}]}, "either `env` or `mount_path`"),
        *(({"nodes": {"Trainer": {"memory": memory}}}, "nodes.Trainer.memory") for memory in ("16 GB", "4K", "4ki", "-1", "Gi", "1e")),
        ({"beam": {"runner": "dataflow", "project": "p", "region": "r", "shared": "gs://b/s", "worker_image": "i"}}, "gs:// only"),
        ({"beam": {**FLINK, "shared": "/tmp/s"}}, "beam.shared"),
        ({"beam": {"runner": "flink", "shared": "/mnt/cxr/s", "job_endpoint": "f:8099"}}, "worker_image .*: is missing"),
        ({"beam": {**WORKERS, "runner": "flink"}}, "no job_endpoint, so master, version, jar"),
        ({"beam": {**WORKERS, "runner": "flink", "master": "f:8081"}}, "no job_endpoint, so version, jar"),
        ({"beam": {**FLINK, "master": "f:8081"}}, "either job_endpoint"),
        ({"beam": {**FLINK, "version": "1.17"}}, "version"),
        ({"beam": {**FLINK, "job_endpoint": "http://f:8099"}}, "job_endpoint"),
        ({"beam": {**FLINK, "environment_config": "pool"}}, "EXTERNAL wants host:port"),
        ({"beam": {**FLINK, "environment_type": "PROCESS", "environment_config": "boot"}}, "PROCESS wants JSON"),
        ({"beam": {**WORKERS, "runner": "spark"}}, "job_endpoint .*: is missing"),
        ({"beam": {**DATAFLOW, "shared": "/mnt/cxr/s"}, "data": "gs://b/d"}, "shared"),
        ({"pipeline_root": "/mnt/cxr/root"}, "pipeline_root"),
        ({"data": "gs://b/d"}, "environment_credentials"),
        ({"data": "minio://b/d", "pipeline_root": "gs://b/root"}, "environment_credentials"),
        ({"colour": "blue"}, r"colour \(line \d+\): unknown key; remove it or correct its spelling"),
        ({"data": 3}, r"data \(line \d+\): .* \(given: 3\)"),
        ({"serving_models": "/mnt/cxr/../tmp/models"}, "lost with the pod"),
        ({"volumes": [{"claim": "CXR_data ", "mount_path": "/mnt/cxr"}]}, "volumes.0.claim"),
        ({"volumes": [{"claim": "", "mount_path": "/mnt/cxr"}]}, "volumes.0.claim"),
        ({"volumes": [{"claim": "a", "mount_path": "/mnt/cxr"}, {"claim": "b", "mount_path": "/mnt/cxr/"}]}, "stands twice"),
        ({"volumes": [{"claim": "a", "mount_path": "/mnt/cxr"}, {"claim": "b", "mount_path": "/minio"}]}, "KFP's launcher works"),
        ({"secrets": [{"name": "s", "mount_path": "/mnt/cxr"}]}, "stands twice"),
        ({"secrets": [{"name": "s", "env": {"key": "AWS ACCESS KEY"}}]}, "secrets.0.env"),
        ({"nodes": {"Trainer": {"tolerations": [{"operator": "Equal", "value": "x"}]}}}, "needs a `key`"),
        ({"nodes": {"Trainer": {"tolerations": [{"key": "k", "operator": "Exists", "value": "x"}]}}}, "takes no `value`"),
        ({"nodes": {"Trainer": {"tolerations": [{"key": "k", "seconds": 9, "effect": "NoSchedule"}]}}}, "effect NoExecute"),
        ({"nodes": {"Trainer": {"gpu_type": "nvidia gpu"}}}, "nodes.Trainer.gpu_type"),
        ({"nodes": {"Trainer": {"gpu_type": "gpu"}}}, "nodes.Trainer.gpu_type"),
        ({"nodes": {"Trainer": {"node_selector": {"a b": "x"}}}}, "nodes.Trainer.node_selector"),
        ({"nodes": {"Trainer": {"node_selector": {"pool": "ü ü"}}}}, "nodes.Trainer.node_selector"),
        ({"nodes": {"Trainer": {"node_selector": {"pool": "x" * 64}}}}, "nodes.Trainer.node_selector"),
        ({"nodes": {"Trainer": {"tolerations": [{"key": "a b"}]}}}, "nodes.Trainer.tolerations.0.key"),
        ({"nodes": {"Trainer": {"tolerations": [{"key": "k", "operator": "Equal", "value": "a b"}]}}}, "tolerations.0.value"),
        *(({"nodes": {"Trainer": {key: zero}}}, "above 0") for key in ("cpu", "memory", "shared_memory") for zero in ("0", "0.0Gi", "0e9")),
        ({"image_pull_secrets": ["Not A Name"]}, "image_pull_secrets.0"),
        ({"secrets": [{"name": "s", "env": {"K": "PATH"}}]}, "env sets PATH, by which the image"),
        ({"secrets": [{"name": "s", "env": {"K": "V", "L": "V"}}]}, "env sets V twice"),
        ({"secrets": [secret("s"), secret("t")]}, "secrets s and t: both set V for the same tasks"),
        ({"secrets": [secret("s", "Trainer"), secret("t", "Trainer-mobilenet")]}, "secrets s and t: both set V"),
        ({"secrets": [secret("s", "Trainer-mobilenet"), secret("t")]}, "secrets s and t: both set V"),
        ({"pipeline_root": "s3://"}, "pipeline_root"),
        ({"pipeline_root": "s3://bucket/runs [1]"}, "pipeline_root .* TFX reads files by patterns"),
        ({"data": "/mnt/cxr/data*"}, "data .* TFX reads files by patterns"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, change, message):
    import yaml

    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({**BASE, **change}))
    with pytest.raises(CxrError, match=message) as caught:
        load_cluster(file)
    assert "Value error" not in str(caught.value)


def test_names_of_a_cluster():
    node = {
        "gpu_type": "nvidia.com/mig-1g.10gb",
        "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4", "pool": "", "Zone_1": "eu.1"},
        "tolerations": [{"key": "nvidia.com/gpu"}, {}, {"key": "pool", "operator": "Equal", "value": "gpu"}],
        "cpu": "0.5",
        "memory": "10Gi",
    }
    apart = [secret("s", "Trainer-a"), secret("t", "Trainer-b", "Evaluator")]
    found = Cluster.model_validate({**BASE, "nodes": {"Trainer": node}, "secrets": apart, "image_pull_secrets": ["my-registry.example"]})
    assert found.node("Trainer").gpu_type == "nvidia.com/mig-1g.10gb"


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
    ("beam", "arguments"),
    [
        ({"runner": "direct"}, {"--runner=FnApiRunner"}),
        ({"runner": "direct", "workers": 2}, {"--runner=cxr.data.beam_workers.ProcessRunner", "--direct_num_workers=2"}),
        (FLINK, {"--runner=PortableRunner", "--job_endpoint=f:8099", "--environment_config=localhost:50000", "--parallelism=4"}),
        (FLINK_JAR, {"--runner=FlinkRunner", "--flink_master=f:8081", "--flink_version=1.20", "--flink_job_server_jar=/opt/job.jar"}),
        ({**FLINK, "environment_type": "DOCKER"}, {"--environment_type=DOCKER", "--environment_config=i"}),
        ({**FLINK, "environment_type": "PROCESS"}, {'--environment_config={"command": "/opt/apache/beam/boot"}'}),
        (SPARK, {"--runner=PortableRunner", "--job_endpoint=s:8099", "--artifact_endpoint=s:8098", "--environment_type=EXTERNAL"}),
        (DATAFLOW, {"--runner=DataflowRunner", "--staging_location=gs://b/s/beam-staging", "--max_num_workers=4", "--subnetwork=n"}),
    ],
)
def test_beams_options(beam, arguments):
    data = "gs://b/d" if beam["runner"] == "dataflow" else BASE["data"]
    assert arguments <= set(Cluster.model_validate({**BASE, "data": data, "beam": beam}).beam.arguments())


@pytest.mark.parametrize("beam", [FLINK, FLINK_JAR, SPARK, DATAFLOW])
def test_workers_install_nothing_at_their_start(beam):
    """Without the image's name TFX would stage its own sources, and every worker would install them from the network."""
    data = "gs://b/d" if beam["runner"] == "dataflow" else BASE["data"]
    found = Cluster.model_validate({**BASE, "data": data, "beam": beam}).beam.arguments()
    assert {"--sdk_container_image=i", "--sdk_location=container"} <= set(found)


@pytest.mark.slow
@pytest.mark.parametrize("beam", [FLINK, FLINK_JAR, SPARK, DATAFLOW, {"runner": "direct"}])
def test_beam_knows_the_options(beam):
    """Beam parses them without complaint: a misspelt option would be ignored silently."""
    from cxr.kubeflow.compile import check_beam_options

    data = "gs://b/d" if beam["runner"] == "dataflow" else BASE["data"]
    check_beam_options(Cluster.model_validate({**BASE, "data": data, "beam": beam}).beam.arguments())


@pytest.mark.slow
def test_options_that_beam_does_not_know_are_refused():
    from cxr.kubeflow.compile import check_beam_options

    with pytest.raises(CxrError, match="does not know --max_num_wrokers=3"):
        check_beam_options(["--max_num_wrokers=3", "--no_use_public_ips"])

"""The shipped files: what Kubernetes, Docker Compose and TensorFlow Serving would read.

What needs kubectl is skipped without it; flags and replicas are read from the files themselves. That the real server starts with
them, that a changed ConfigMap reaches the pods, and that clients find new pods, only a cluster shows.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cxr.serving import models_config
from cxr.serving.production import config_file, overview
from cxr.serving.production.model_states import SPECIFIC, ModelState
from cxr.serving.server.textprotos import read_batching

ROOT = Path(__file__).parents[3] / "deploy"
OVERLAYS = ("cpu", "gpu")
FLAGS = frozenset((Path(__file__).parents[1] / "data" / "tfserving_flags.txt").read_text().split())


def _render(overlay: str) -> dict[tuple[str, str], dict]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: manifests are only parsed")
    command = [kubectl, "kustomize", str(ROOT / "kubernetes" / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(done.stdout))
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def _documents(folder: Path) -> list[dict]:
    return [document for path in sorted(folder.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]


def _arguments(where: str) -> dict[str, str]:
    """The flags of the server in the compose file or in the Deployment."""
    if where == "compose":
        found = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]["serving"]["command"]
    else:
        (deployment,) = (document for document in _documents(ROOT / "kubernetes" / "base") if document["kind"] == "Deployment")
        found = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert all(argument.startswith("--") for argument in found)
    return dict(argument.removeprefix("--").split("=", 1) for argument in found)


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_server_knows_the_flags_and_starts_with_labels(where: str):
    arguments = _arguments(where)
    assert arguments.keys() <= FLAGS
    labels = [state.labels for state in overview.states_in(ROOT / "config" / "models.config").values()]
    assert all(labels)
    # server_core.cc compares labels with what is available before anything is loaded: without this the first configuration ends the start.
    assert arguments["allow_version_labels_for_unavailable_models"] == "true"


def test_pods_poll_the_file_and_end_old_connections():
    arguments = _arguments("kubernetes")
    assert int(arguments["model_config_file_poll_wait_seconds"]) > 0
    channel = dict(argument.split("=") for argument in arguments["grpc_channel_arguments"].split(","))
    # Clients look their names up again when a connection ends: without that a new pod gets nothing.
    age = int(channel["grpc.max_connection_age_ms"]) / 1000
    assert age > 0
    assert int(channel["grpc.max_connection_age_grace_ms"]) >= 60_000  # the client's default time-out of a request
    (deployment,) = (document for document in _documents(ROOT / "kubernetes" / "base") if document["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    _, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert float(seconds) > 1.1 * age  # gRPC spreads the ends of connections by a tenth; SIGTERM tells no client
    assert pod["terminationGracePeriodSeconds"] >= float(seconds) + int(channel["grpc.max_connection_age_grace_ms"]) / 1000


def test_no_server_logs_what_a_malformed_request_held():
    (deployment,) = (document for document in _documents(ROOT / "kubernetes" / "base") if document["kind"] == "Deployment")
    pods = deployment["spec"]["template"]["spec"]["containers"][0]
    model = yaml.safe_load((ROOT / "kserve" / "inference-service.yaml").read_text())["spec"]["predictor"]["model"]
    for container in (pods, model):
        assert {"name": "TF_CPP_MIN_LOG_LEVEL", "value": "2"} in container["env"]
    compose = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]["serving"]
    assert compose["environment"]["TF_CPP_MIN_LOG_LEVEL"] == "2"


def test_no_overlay_makes_or_renames_a_namespace():
    files = [path for path in (ROOT / "kubernetes").rglob("*.yaml") if path != ROOT / "kubernetes" / "namespace.yaml"]
    for path in files:
        assert all(document["kind"] != "Namespace" for document in yaml.safe_load_all(path.read_text()))
        assert "namespace.yaml" not in path.read_text()


def test_the_policies_of_one_deployment_do_not_catch_kserves_pods():
    labels = yaml.safe_load((ROOT / "kserve" / "inference-service.yaml").read_text())["metadata"]["labels"]
    (policy,) = (document for document in _documents(ROOT / "kubernetes" / "base") if document["kind"] == "NetworkPolicy")
    assert not policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_clients_see_every_pod():
    (service,) = (document for document in _documents(ROOT / "kubernetes" / "base") if document["kind"] == "Service")
    assert service["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_either_an_autoscaler_or_the_deployment_sets_the_replicas(overlay: str):
    documents = _documents(ROOT / "kubernetes" / "base") + _documents(ROOT / "kubernetes" / "overlays" / overlay)
    scaled = any(document["kind"] == "HorizontalPodAutoscaler" for document in documents)
    fixed = any("replicas" in document["spec"] for document in documents if document["kind"] == "Deployment")
    assert scaled != fixed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_overlay_renders_both(overlay: str):
    objects = _render(overlay)
    scaled = ("HorizontalPodAutoscaler", "cxr-serving") in objects
    assert scaled != ("replicas" in objects["Deployment", "cxr-serving"]["spec"])


def test_kserve_has_no_labels_to_allow():
    model = yaml.safe_load((ROOT / "kserve" / "inference-service.yaml").read_text())["spec"]["predictor"]["model"]
    assert "args" not in model  # its runtime gives --model_base_path: no models.config, no labels


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.yaml")), ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_parses_and_names_only_public_images(path: Path):
    text = path.read_text()
    assert list(yaml.safe_load_all(text))
    for image in re.findall(r"^\s*(?:- )?image: (\S+)", text, re.MULTILINE):
        assert re.match(r"(\$\{\w+:-)?(tensorflow/serving|prom/prometheus|cxr$)", image), image  # cxr: ours, named by kustomize


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_renders_the_whole_deployment(overlay: str):
    objects = _render(overlay)
    kinds = {kind for kind, _ in objects}
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "ConfigMap"} <= kinds
    assert "Namespace" not in kinds
    assert {document["metadata"].get("namespace", "cxr") for document in objects.values()} == {"cxr"}

    deployment = objects["Deployment", "cxr-serving"]["spec"]
    selector = deployment["selector"]["matchLabels"]
    assert selector.items() <= deployment["template"]["metadata"]["labels"].items()
    assert objects["Service", "cxr-serving"]["spec"]["selector"] == selector
    assert objects["PodDisruptionBudget", "cxr-serving"]["spec"]["selector"]["matchLabels"] == selector
    policy = objects["NetworkPolicy", "cxr-serving"]["spec"]
    assert policy["podSelector"]["matchLabels"] == selector
    assert policy["egress"] == []
    assert policy["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"cxr-client": "true"}}}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_confined_probed_and_limited(overlay: str):
    pod = _render(overlay)["Deployment", "cxr-serving"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/models"]["readOnly"] is True
    assert mounts["/config"]["readOnly"] is True
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (overlay == "gpu")
    assert container["image"].endswith("-gpu") == (overlay == "gpu")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_flags_name_files_that_are_mounted(overlay: str):
    objects = _render(overlay)
    (container,) = objects["Deployment", "cxr-serving"]["spec"]["template"]["spec"]["containers"]
    files = objects["ConfigMap", "cxr-serving-config"]["data"]
    compose = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]["serving"]["command"]
    for arguments in (container["args"], compose):
        named = {Path(value).name for value in (argument.partition("=")[2] for argument in arguments) if value.startswith("/config/")}
        assert named == files.keys()


def test_models_config_names_the_four_models_with_both_labels():
    path = ROOT / "config" / "models.config"
    config = models_config.read(path)
    assert [entry.name for entry in config.model_config_list.config] == list(overview.MODELS)
    assert all(entry.base_path == f"/models/{entry.name}" for entry in config.model_config_list.config)
    state = ModelState(SPECIFIC, versions=(1,), labels={"stable": 1, "canary": 1})
    assert set(overview.states_in(path)) == set(overview.MODELS)
    assert all(found == state for found in overview.states_in(path).values())
    assert path.read_text() == config_file.render(config)


def test_the_embedded_server_reads_the_batching_parameters():
    batching = read_batching(ROOT / "config" / "batching.config")
    assert batching.max_batch_size == 32
    assert batching.allowed_batch_sizes == (1, 2, 4, 8, 16, 32)


def test_prometheus_asks_where_the_server_answers():
    (path,) = re.findall(r'path: "(.+)"', (ROOT / "config" / "monitoring.config").read_text())
    (job,) = yaml.safe_load((ROOT / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["metrics_path"] == path
    assert f"prometheus.io/path: {path}\n" in (ROOT / "kubernetes" / "base" / "deployment.yaml").read_text()


def test_compose_binds_to_this_machine_and_mounts_read_only():
    service = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]["serving"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert all(volume["read_only"] for volume in service["volumes"])
    assert service["user"] != "0"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["init"] is True  # the server has no handler of SIGTERM: as PID 1 it would run on until it is killed


def test_kserve_serves_the_ensemble_over_grpc():
    service = yaml.safe_load((ROOT / "kserve" / "inference-service.yaml").read_text())
    model = service["spec"]["predictor"]["model"]
    assert service["metadata"]["name"] == "ensemble"
    assert model["protocolVersion"] == "grpc-v1"
    assert model["storageUri"].endswith("/ensemble")
    assert model["ports"][0]["name"] == "h2c"

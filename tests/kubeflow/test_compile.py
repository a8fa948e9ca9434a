import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import here
import pytest
import yaml

from cxr.core import exit_codes
from cxr.data.ingest.pseudonyms import KEY_FILE_VARIABLE
from cxr.kubeflow import evaluation_page
from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.pipeline_spec import container_of, tasks

# Runs the command line and tells which heavy packages it has imported.
COMMAND = """
import sys
from cxr.cli.main import main
try:
    status = main()
except SystemExit as end:
    status = end.code
print("heavy:", [name for name in ("tfx", "tensorflow", "apache_beam", "kfp") if name in sys.modules])
sys.exit(status)
"""
MANIFESTS = Path(__file__).parents[2] / "deploy/kubeflow"
CLUSTER = {
    "data": "/mnt/cxr/data",
    "serving_models": "/mnt/cxr/models",
    "pipeline_root": "gs://bucket/root",
    "volumes": [{"claim": "cxr", "mount_path": "/mnt/cxr"}],
    "secrets": [{"name": "store", "env": {"key": "AWS_SECRET_ACCESS_KEY"}, "nodes": ["Trainer"]}],
    "nodes": {
        "default": {"cpu": "1", "memory": "4Gi"},
        "Trainer": {"gpus": 1, "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}], "node_selector": {"pool": "gpu"}},
    },
}


def container(compiled, task):
    found = container_of(compiled.spec, task)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def compiled(image):
    from cxr.kubeflow.compile import compile_config
    from cxr.pipeline.pipeline_config import load

    return compile_config(load("demo"), Cluster.model_validate(CLUSTER), image)


@pytest.mark.slow
def test_kfps_own_loader_accepts_it(compiled, tmp_path):
    from kfp import components

    compiled.write(tmp_path / "pipeline.yaml")
    loaded = components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert loaded.pipeline_spec.pipeline_info.name == "demo"
    assert loaded.platform_spec.platforms["kubernetes"]


@pytest.mark.slow
def test_parameters_carry_the_configurations_values(compiled):
    found = {name: value["defaultValue"] for name, value in compiled.spec["root"]["inputDefinitions"]["parameters"].items()}
    assert found["data"] == "/mnt/cxr/data"
    assert found["epochs_mobilenet"] == 30
    assert found["min_accuracy_ensemble"] == 0.75
    assert found["min_accuracy_mobilenet"] == 0.6
    assert found["min_change_mobilenet"] == pytest.approx(-0.02)
    assert found["shortcut_margin_mobilenet"] == "0.0"  # demo.yaml's
    assert "non_inferiority_mobilenet" not in found  # nothing is demanded
    assert found["baseline_ensemble"] == "/mnt/cxr/models/demo/ensemble/champion.json"


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "value"), [("accuracy", -0.03), ("log_loss", 0.03)])
def test_the_margin_of_non_inferiority_is_a_parameter_where_it_is_demanded(image, metric, value):
    from cxr.kubeflow.compile import compile_config
    from cxr.pipeline.pipeline_config import load

    config = load("demo", ["ensemble=null", f"gate={{non_inferiority: {{metric: {metric}, margin: 0.03}}}}"])
    found = compile_config(config, Cluster.model_validate(CLUSTER), image).spec["root"]["inputDefinitions"]["parameters"]
    assert found["non_inferiority_mobilenet"]["defaultValue"] == pytest.approx(value)
    assert f"{'lower' if value < 0 else 'upper'} end of the interval" in found["non_inferiority_mobilenet"]["description"]


@pytest.mark.slow
@pytest.mark.parametrize("evaluator", ["Evaluator-mobilenet", "Evaluator-ensemble"])
def test_evaluators_have_outputs_for_kfps_page(compiled, evaluator):
    component = compiled.spec["components"][tasks(compiled.spec)[evaluator]["componentRef"]["name"]]
    found = {key: value["artifactType"].get("schemaTitle") for key, value in component["outputDefinitions"]["artifacts"].items()}
    assert found["metrics"] == "system.Metrics"
    assert found["confusion_matrix"] == found["roc_covid19"] == "system.ClassificationMetrics"
    assert found["report"] == "system.HTML"
    assert evaluation_page.EXECUTOR in container(compiled, evaluator)["args"]  # the entry point makes these outputs for them alone


@pytest.mark.slow
def test_the_report_is_shown_on_kfps_page_and_waits_for_every_model_but_for_no_push(compiled):
    component = compiled.spec["components"][tasks(compiled.spec)["Report"]["componentRef"]["name"]]
    assert component["outputDefinitions"]["artifacts"]["report"]["artifactType"]["schemaTitle"] == "system.HTML"
    upstream = set(tasks(compiled.spec)["Report"]["dependentTasks"])
    models = ("densenet201", "efficientnetb7", "mobilenet", "ensemble")
    assert {f"{role}-{model}" for role in ("Trainer", "Evaluator", "InfraCheck") for model in models} <= upstream
    assert not {name for name in upstream if name.startswith("Pusher-")}


@pytest.mark.slow
def test_the_report_is_told_what_every_node_before_it_took(compiled):
    report = tasks(compiled.spec)["Report"]
    sources = [source["taskOutputParameter"] for name, source in report["inputs"]["parameters"].items() if name.startswith("cxr_usage_")]
    told = {source["producerTask"] for source in sources}
    later = {name for name in tasks(compiled.spec) if name.startswith("Pusher-")} | {"Report", "InferredSchema"}
    assert told == set(tasks(compiled.spec)) - later - {"DataFingerprint"}  # that one takes a second, and makes no artifact
    assert {"Transform", "AnomalyCheck", "Baseline-mobilenet", "PreviousStatistics"} <= told
    assert {source["outputParameterKey"] for source in sources} == {"cxr_usage"}
    assert told <= set(report["dependentTasks"])
    assert "cachingOptions" not in report  # it tells of this run


@pytest.mark.slow
def test_the_runs_word_for_the_cache_reaches_the_first_tasks_that_are_cached(compiled):
    given = {name for name, task in tasks(compiled.spec).items() if "cxr_cache" in task.get("inputs", {}).get("parameters", {})}
    assert given == {"ImportExampleGen", "ImportSchemaGen"}
    assert compiled.spec["root"]["inputDefinitions"]["parameters"]["cache"]["defaultValue"] == "1"


@pytest.mark.slow
def test_a_pusher_replaces_the_champion_that_its_candidate_was_compared_with(compiled):
    source = tasks(compiled.spec)["Pusher-mobilenet"]["inputs"]["parameters"]["cxr_champion"]["taskOutputParameter"]
    assert source == {"producerTask": "Baseline-mobilenet", "outputParameterKey": "champion"}


@pytest.mark.slow
def test_the_rule_for_the_baseline_gets_what_it_looks_at(compiled):
    given = tasks(compiled.spec)["Baseline-ensemble"]["inputs"]["parameters"]
    assert given["data"] == {"componentInputParameter": "data"}
    assert given["split"]["runtimeValue"]["constant"] == "test"
    assert json.loads(given["class_names"]["runtimeValue"]["constant"]) == ["covid19", "pneumonia", "normal"]
    assert given["max_side"]["runtimeValue"]["constant"] == 1024


@pytest.mark.slow
def test_data_in_a_bucket_are_downloaded_for_all_that_read_them(image):
    from cxr.kubeflow.compile import compile_config
    from cxr.pipeline.pipeline_config import load

    found = tasks(compile_config(load("demo"), Cluster.model_validate({**CLUSTER, "data": "gs://bucket/data"}), image).spec)
    readers = {name for name, task in found.items() if "cxr_data" in task.get("inputs", {}).get("artifacts", {})}
    baselines = {name for name in found if name.startswith("Baseline-")}
    assert len(baselines) == 4
    assert readers == {"ImportExampleGen", "DataFingerprint"} | baselines


@pytest.mark.slow
def test_the_trainers_are_parallel(compiled):
    trainers = {name for name in tasks(compiled.spec) if name.startswith("Trainer-") and name != "Trainer-ensemble"}
    assert len(trainers) == 3
    for name in trainers:
        assert not trainers & set(tasks(compiled.spec)[name]["dependentTasks"])
    assert trainers <= set(tasks(compiled.spec)["Trainer-ensemble"]["dependentTasks"])


@pytest.mark.slow
def test_caching_fits_what_tasks_depend_on(compiled):
    cached = {name for name, task in tasks(compiled.spec).items() if task.get("cachingOptions", {}).get("enableCache")}
    assert {"ImportExampleGen", "Trainer-mobilenet", "Evaluator-mobilenet"} <= cached
    assert not {"DataFingerprint", "Baseline-mobilenet", "Pusher-mobilenet"} & cached
    assert "DataFingerprint" in tasks(compiled.spec)["ImportExampleGen"]["dependentTasks"]


@pytest.mark.slow
def test_every_push_and_nothing_else_is_conditional(compiled):
    conditional = {name: task["triggerPolicy"]["condition"] for name, task in tasks(compiled.spec).items() if "triggerPolicy" in task}
    assert set(conditional) == {name for name in tasks(compiled.spec) if name.startswith("Pusher-")}
    assert len(conditional) == 4
    for condition in conditional.values():
        assert "['model_blessing']" in condition
        assert "['infra_blessing']" in condition
        assert "['shortcut_blessing']" in condition


@pytest.mark.slow
def test_one_audit_serves_every_shortcut_check(compiled):
    checks = {name: task for name, task in tasks(compiled.spec).items() if name.startswith("ShortcutCheck-")}
    assert len(checks) == 4
    for name, task in checks.items():
        assert task["inputs"]["artifacts"]["audit"]["taskOutputArtifact"]["producerTask"] == "Audit"
        assert "Trainer-" + name.partition("-")[2] in task["dependentTasks"]
        assert task["inputs"]["parameters"]["margin"] == {"componentInputParameter": f"shortcut_margin_{name.partition('-')[2]}"}
    assert "AnomalyCheck" in tasks(compiled.spec)["Audit"]["dependentTasks"]


@pytest.mark.slow
def test_what_is_kubernetes_alone_is_in_the_platform_document(compiled):
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    trainer, evaluator = executors["Trainer-mobilenet_executor"], executors["Evaluator-mobilenet_executor"]
    assert trainer["pvcMount"][0]["mountPath"] == evaluator["pvcMount"][0]["mountPath"] == "/mnt/cxr"
    assert trainer["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert trainer["nodeSelector"]["labels"] == {"pool": "gpu"}
    assert trainer["secretAsEnv"][0]["secretName"] == "store"
    assert "secretAsEnv" not in evaluator
    assert container(compiled, "Trainer-mobilenet")["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert container(compiled, "ImportExampleGen")["resources"]["memoryLimit"] > 4
    assert compiled.spec["defaultPipelineRoot"] == "gs://bucket/root"


def test_an_image_tag_is_refused_before_tfx_is_imported(tmp_path):
    command = ["kubeflow", "compile", "--config", "demo", "--image", "registry.example/cxr:latest"]
    done = subprocess.run([sys.executable, "-c", COMMAND, *command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "--image 'registry.example/cxr:latest': name it by digest" in done.stderr
    assert done.returncode == exit_codes.USAGE
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert not (tmp_path / "pipeline.yaml").exists()


@pytest.mark.slow
def test_the_command_prints_the_file_and_no_librarys_greeting(image, tmp_path):
    command = [Path(sys.executable).with_name("cxr"), "kubeflow", "compile", "--config", "demo", "--image", image]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (exit_codes.OK, "pipeline.yaml\n")
    assert not [line for line in done.stderr.splitlines() if "compiling" not in line]


@pytest.mark.slow
def test_the_command_imports_tfx_without_looking_for_garbage(image, tmp_path, capfd, monkeypatch):
    """What is imported stays: looks through it find nothing to free."""
    looked = []

    def compile_config(*_, **__):
        looked.append(gc.isenabled())
        return SimpleNamespace(write=lambda out: None)

    monkeypatch.setattr("cxr.kubeflow.compile.compile_config", compile_config)
    done = here.cxr(capfd, "kubeflow", "compile", "--config", "demo", "--image", image, "--out", tmp_path / "pipeline.yaml")
    assert (done.returncode, looked, gc.isenabled()) == (exit_codes.OK, [False], True)


@pytest.mark.slow
def test_without_baseline_there_is_no_such_task(image):
    from cxr.kubeflow.compile import compile_config
    from cxr.pipeline.pipeline_config import load

    found = tasks(compile_config(load("demo"), Cluster.model_validate(CLUSTER), image, baseline=False).spec)
    assert not [name for name in found if name.startswith("Baseline")]
    # a result from the cache would push nothing, although the model may be gone by now
    assert not {name for name, task in found.items() if task.get("cachingOptions", {}).get("enableCache") and "Pusher" in name}


@pytest.mark.slow
def test_a_distributed_runner_gets_the_shared_folder(image):
    from cxr.kubeflow.compile import compile_config
    from cxr.pipeline.pipeline_config import load

    beam = {"runner": "dataflow", "project": "p", "region": "r", "shared": "gs://bucket/shared", "worker_image": image}
    compiled = compile_config(load("demo"), Cluster.model_validate({**CLUSTER, "data": "gs://bucket/data", "beam": beam}), image)
    arguments = container(compiled, "StatisticsGen")["args"]
    assert {"--runner=DataflowRunner", "--cxr_shared=gs://bucket/shared"} <= set(arguments)
    assert "Data" not in tasks(compiled.spec)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_manifests_render():
    done = subprocess.run(["kubectl", "kustomize", str(MANIFESTS)], capture_output=True, text=True, check=True)
    found = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(done.stdout)}
    claim = found["PersistentVolumeClaim", "cxr"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    pod = found["Job", "cxr-ingest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "@sha256:" in container["image"]
    (key_file,) = [item["value"] for item in container["env"] if item["name"] == KEY_FILE_VARIABLE]
    (mount,) = [item for item in container["volumeMounts"] if key_file.startswith(item["mountPath"] + "/")]
    assert "secret" in next(item for item in pod["volumes"] if item["name"] == mount["name"])  # it outlives the pod


@pytest.mark.slow
def test_a_condition_compiles_to_what_the_driver_evaluates(image):
    from simulator.conditions import holds
    from tfx import v1 as tfx

    from cxr.kubeflow.compile import compile_pipeline

    artifacts = tfx.types.standard_artifacts
    blessing = tfx.dsl.Importer("gs://bucket/blessing", artifact_type=artifacts.ModelBlessing).with_id("Blessing")
    model = tfx.dsl.Importer("gs://bucket/model", artifact_type=artifacts.Model).with_id("Model")
    with tfx.dsl.Cond(blessing.outputs["result"].future()[0].custom_property("blessed") == 1):
        destination = tfx.proto.PushDestination(filesystem=tfx.proto.PushDestination.Filesystem(base_directory="/mnt/cxr/models"))
        pusher = tfx.components.Pusher(model=model.outputs["result"], push_destination=destination)
    spec = compile_pipeline(tfx.dsl.Pipeline("conditional", "gs://bucket", components=[blessing, model, pusher]), image)
    task = tasks(spec)["Pusher"]
    (key,) = [key for key in task["inputs"]["artifacts"] if "Blessing" in key]
    for blessed in (1.0, 0.0):
        given = {"inputs": {"artifacts": {key: {"artifacts": [{"metadata": {"blessed": blessed}}]}}}}
        assert holds(task["triggerPolicy"]["condition"], given) is bool(blessed)

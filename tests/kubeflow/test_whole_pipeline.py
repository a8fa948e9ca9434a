"""The whole pipeline, all four models, in the simulation: twice, the second time against the first one's champions."""

import json
import re

import prepared
import pytest
import yaml
from simulator.cluster import SimulatedCluster, State

from cxr.kubeflow.cluster import Cluster

# Named as the demo's; what a backbone is makes no difference to anything here, and these are built in seconds.
MODELS = ("densenet201", "efficientnetb7", "mobilenet", "ensemble")
KILLED = {"ImportExampleGen": "examples", "Trainer-mobilenet": "model"}  # as soon as a file is in this output, and retried
CONFIG = """
name: tiny
image_size: 32
defaults:
  weights: none
  head_training: {epochs: 1, batch_size: 8}
models:
  densenet201: {backbone: MobileNet}
  efficientnetb7: {backbone: MobileNetV2}
  mobilenet: {backbone: MobileNet}
ensemble: {method: soft}
gate: {min_accuracy: 0.0, above_chance: false, tolerance: 1.0, shortcut_margin: null}
audit: {masked_models: false, folds: 2}
explain: {samples: 2}
"""


@pytest.fixture(scope="module")
def volume(tmp_path_factory, raw_examples, write_split):
    folder = tmp_path_factory.mktemp("volume")
    for split in ("train", "val", "test"):
        write_split(folder / "data", split, raw_examples)
    return folder


@pytest.fixture(scope="module")
def text(volume, image):
    from cxr.kubeflow.compile import compile_config
    from cxr.pipeline.pipeline_config import load

    (volume / "tiny.yaml").write_text(CONFIG)
    cluster = {
        "data": str(volume / "data"),
        "serving_models": str(volume / "models"),
        "training_state": str(volume / "state"),
        "nodes": {name: {"retries": 1} for name in KILLED},
        "volumes": [{"claim": "cxr", "mount_path": str(volume)}],
    }
    return compile_config(load(str(volume / "tiny.yaml")), Cluster.model_validate(cluster), image).to_yaml()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    environment = {"TF_NUM_INTRAOP_THREADS": "1"}
    return SimulatedCluster(tmp_path_factory.mktemp("cluster"), environment, killed=dict(KILLED), start=prepared.run)


@pytest.fixture(scope="module")
def first(cluster, text):
    return cluster.run(text)


@pytest.fixture(scope="module")
def champions(first, volume):
    """The pointers after the first run."""
    return {name: json.loads((volume / "models" / "tiny" / name / "champion.json").read_text()) for name in MODELS}


@pytest.fixture(scope="module")
def second(cluster, text, champions):
    """MobileNet, hence the ensemble, is trained anew; DenseNet201 would have to become better than it is."""
    return cluster.run(text, {"epochs_mobilenet": 2, "min_change_densenet201": 0.5})


def versions(volume, model):
    return {folder.name for folder in (volume / "models" / "tiny" / model).iterdir() if folder.name.isdecimal()}


pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.long]


def test_the_first_run_passes_without_baseline(first, volume, champions):
    assert first.succeeded, {name: task.error for name, task in first.tasks.items() if task.error}
    for name in MODELS:
        blessing = first.artifact(f"Evaluator-{name}", "blessing").metadata
        assert blessing["blessed"] == 1
        assert "baseline_model" not in blessing
        assert first.artifact(f"ShortcutCheck-{name}", "blessing").metadata["blessed"] == 1
        assert (volume / "models" / "tiny" / name / champions[name]["version"] / "saved_model.pb").is_file()


def test_what_was_killed_and_retried_is_complete_and_there_once(first, cluster, volume):
    def files(task, output):
        folder = cluster.objects.root / first.artifact(task, output).uri.replace("://", "/")
        return folder, sorted(re.sub(r"\d{6,}.*", "", str(path.relative_to(folder))) for path in folder.rglob("*") if path.is_file())

    attempts = {name: task.outputs.attempts for name, task in first.tasks.items() if task.outputs}
    assert {name: count for name, count in attempts.items() if count > 1} == dict.fromkeys(KILLED, 2)
    examples, names = files("ImportExampleGen", "examples")
    assert len(names) == 3
    for split in ("train", "val", "test"):
        (shard,), (copy,) = ((folder / name).iterdir() for folder, name in ((volume / "data", split), (examples, f"Split-{split}")))
        assert copy.read_bytes() == shard.read_bytes()
    for output in ("model", "model_run"):  # as those of a trainer that nobody disturbed, but for times and hosts in names
        _, names = files("Trainer-mobilenet", output)
        assert names == files("Trainer-densenet201", output)[1]
        assert names
    assert not [path for path in (volume / "state").rglob("*") if path.is_file()]  # nothing is left to resume from


def test_the_page_shows_every_evaluation(first, cluster):
    for name in MODELS:
        metrics, confusion = (first.artifact(f"Evaluator-{name}", key) for key in ("metrics", "confusion_matrix"))
        assert (metrics.schema["schemaTitle"], metrics.metadata["gate"]) == ("system.Metrics", "blessed")
        rows = [cell["row"] for cell in confusion.metadata["confusionMatrix"]["rows"]]
        assert sum(map(sum, rows)) == metrics.metadata["examples"] > 0
        assert first.artifact(f"Evaluator-{name}", "roc_covid19").metadata["confidenceMetrics"]
        report = first.artifact(f"Evaluator-{name}", "report").uri
        assert "Gate: blessed" in (cluster.objects.root / report.replace("://", "/")).read_text()


def test_the_report_shows_all_models_with_their_errors(first, cluster):
    shown = first.artifact("Report", "report")
    assert shown.schema["schemaTitle"] == "system.HTML"
    page = (cluster.objects.root / shown.uri.replace("://", "/")).read_text()
    assert page == (cluster.objects.root / first.artifact("Report", "page").uri.replace("://", "/")).read_text()
    for name in MODELS:
        assert f"Confusion matrix, {name}" in page
    assert "Errors" in page
    assert "Where ensemble looks" in page
    assert "patient1" not in page


def test_the_report_has_times_and_memory_of_the_nodes_before_it(first, second, cluster):
    states = {}
    for run in (first, second):
        page = (cluster.objects.root / run.artifact("Report", "page").uri.replace("://", "/")).read_text()
        row = r'<th scope="row">([-\w]+)</th><td class="\w+">(done|cached)</td><td class="bar"[^>]*>([^<]*)</td><td>([^<]*)</td>'
        rows = {node: (state, memory) for node, state, _, memory in re.findall(row, page)}
        assert {"ImportExampleGen", "PreviousStatistics", "Transform", "Baseline-ensemble", "Evaluator-ensemble", "Audit"} <= set(rows)
        assert not {"Report", "Pusher-ensemble"} & set(rows)
        assert {memory.endswith("B") for state, memory in rows.values() if state == "done"} == {True}
        states[run.artifact("Report", "page").id] = {node for node, (state, _) in rows.items() if state == "cached"}
    of_first, of_second = states.values()
    assert of_first == set()
    assert of_second == second.in_state(State.CACHED) - {"InferredSchema"}


def test_the_page_shows_what_a_gate_refused(second, cluster):
    report = second.artifact("Evaluator-densenet201", "report").uri
    page = (cluster.objects.root / report.replace("://", "/")).read_text()
    assert "Gate: refused" in page
    assert "accuracy of the baseline" in page


def test_uris_in_metadata_are_the_object_stores(first):
    blessing = first.artifact("Evaluator-mobilenet", "blessing").metadata
    assert blessing["current_model"] == first.artifact("Trainer-mobilenet", "model").uri
    assert blessing["current_model"].startswith("minio://mlpipeline/v2/artifacts/tiny/")
    for artifact in first.metadata.artifacts.values():
        assert artifact.uri.startswith("minio://")


def test_the_second_run_compares_with_the_champions(second, champions):
    assert second.succeeded, {name: task.error for name, task in second.tasks.items() if task.error}
    for name in MODELS:
        blessing = second.artifact(f"Evaluator-{name}", "blessing").metadata
        assert blessing["baseline_model"] == second.artifact(f"Baseline-{name}", "model").uri  # a copy in this run, no reference


def test_the_second_run_does_again_only_what_changed(second):
    cached = second.in_state(State.CACHED)
    assert {"ImportExampleGen", "Transform", "Trainer-densenet201", "Trainer-efficientnetb7", "InfraCheck-densenet201"} <= cached
    assert "Audit" in cached
    assert not {"Trainer-mobilenet", "Trainer-ensemble", "InfraCheck-mobilenet", "DataFingerprint"} & cached


def test_a_refused_gate_skips_the_push(second, volume, champions):
    assert second.artifact("Evaluator-densenet201", "blessing").metadata["blessed"] == 0
    assert second.in_state(State.SKIPPED) == {"Pusher-densenet201"}  # what `cxr kubeflow status` reads the refusal from
    assert versions(volume, "densenet201") == {champions["densenet201"]["version"]}


def test_a_champion_is_not_pushed_again(second, volume, champions):
    pushed = second.artifact("Pusher-efficientnetb7", "pushed_model").metadata
    assert pushed["pushed_version"] == champions["efficientnetb7"]["version"]
    assert versions(volume, "efficientnetb7") == {champions["efficientnetb7"]["version"]}


def test_a_new_model_becomes_the_champion(second, volume, champions):
    for name in ("mobilenet", "ensemble"):
        pointer = json.loads((volume / "models" / "tiny" / name / "champion.json").read_text())
        assert pointer["version"] != champions[name]["version"]
        assert versions(volume, name) == {pointer["version"], champions[name]["version"]}


def test_a_champion_that_changes_during_a_run_is_not_replaced(second, cluster, text, volume):
    """Another run pushes between this one's comparison and its push: played by a pointer that moves when the Evaluator has started."""
    from cxr.components.baseline import champion

    folder = volume / "models/tiny/mobilenet"
    before = champion.read(folder / "champion.json")
    assert before is not None
    thief = folder / str(int(before.version) + 1)
    move = (
        "import shutil, sys\n"
        "from pathlib import Path\n"
        "from cxr.components.baseline import champion\n"
        "from cxr.kubeflow import baseline\n"
        "status = baseline.main(sys.argv[1:])\n"
        f"shutil.copytree({str(before.folder)!r}, {str(thief)!r}, dirs_exist_ok=True)\n"
        f"with champion.locked(Path({str(folder)!r})) as pointer:\n"
        f"    pointer.write({thief.name!r}, 'another', 'minio://b/model', expected={before.version!r})\n"
        "sys.exit(status)"
    )
    spec, platform = yaml.safe_load_all(text)
    container = spec["deploymentSpec"]["executors"]["Baseline-mobilenet_executor"]["container"]
    container["command"] = ["python", "-c", move, *container["command"][3:]]
    result = cluster.run(yaml.safe_dump_all([spec, platform]), {"epochs_mobilenet": 3})
    assert result.tasks["Pusher-mobilenet"].state is State.FAILED
    assert f"compared with version {before.version}, but the champion is version {thief.name}" in result.tasks["Pusher-mobilenet"].error
    after = champion.read(folder / "champion.json")
    assert after is not None
    assert after.version == thief.name
    assert versions(volume, "mobilenet") >= {before.version, thief.name}
    assert max(map(int, versions(volume, "mobilenet"))) == int(thief.name)


def test_the_epochs_reached_the_trainer(first, second, cluster):
    found = []
    for run in (first, second):
        folder = cluster.objects.root / run.artifact("Trainer-mobilenet", "model_run").uri.replace("://", "/")
        found.append(json.loads((folder / "history.json").read_text())["model"]["head_training"]["epochs"])
    assert found == [1, 2]


def test_changed_data_are_read_again(cluster, text, volume, raw_examples, write_split, second):
    """The key that KFP looks at, without running everything once more."""
    from cxr.kubeflow.fingerprint import data_fingerprint

    spec = next(yaml.safe_load_all(text))
    before = data_fingerprint(str(volume / "data"))
    write_split(volume / "data", "train", raw_examples[:6])
    assert data_fingerprint(str(volume / "data")) != before == second.tasks["DataFingerprint"].outputs.parameters["fingerprint"]
    source = spec["root"]["dag"]["tasks"]["ImportExampleGen"]["inputs"]["parameters"]["cxr_fingerprint"]
    assert source["taskOutputParameter"]["producerTask"] == "DataFingerprint"

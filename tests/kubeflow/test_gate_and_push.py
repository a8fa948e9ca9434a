"""From an exported model to the champion: the tasks Baseline, Evaluator and Pusher alone, TFX's and our executors in the simulation.

test_whole_pipeline.py does it with trained models.
"""

import json
from importlib import metadata

import prepared
import pytest
import yaml
from simulator.cluster import SimulatedCluster, State

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import read_record
from cxr.components.infra_check import checked
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core import beam_options
from cxr.data.images.reader import MAX_SIDE

MODEL = "minio://bucket/model"
INFRA_BLESSING = "minio://bucket/blessing"
SHORTCUT_BLESSING = "minio://bucket/shortcuts"
CLASSES = ("covid19", "pneumonia", "normal")


@pytest.fixture(scope="module")
def export():
    """Writes a SavedModel that gives every image the same probabilities, described as trained on other images."""

    def write(folder, probabilities):
        import tensorflow as tf
        from artifacts import NumbersLabels

        from cxr.core import features
        from cxr.trainer import model_info
        from cxr.trainer.training_data import image_keys, save_training_images

        class Constant(NumbersLabels):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
            def serve(self, examples):
                return {features.PROBABILITIES: tf.tile([probabilities], [tf.shape(examples)[0], 1])}

        model = Constant()
        saved = str(folder / "Format-Serving")
        signatures = {features.SIGNATURE_EXAMPLES: model.serve, features.SIGNATURE_LABELS: model.labels}
        tf.saved_model.save(model, saved, signatures=signatures)
        model_info.write_info(
            saved, {"name": "constant", "class_names": CLASSES, "image_size": 32, "synthetic": False, "preprocessing": {}}
        )
        save_training_images(saved, image_keys("abc"))

    return write


@pytest.fixture
def pipeline(tmp_path, raw_examples, write_split, image):
    """Text of the compiled pipeline; pushes to `tmp_path`/models."""
    from tfx import v1 as tfx
    from tfx.proto import example_gen_pb2

    from cxr.components.evaluator.component import Evaluator
    from cxr.components.pusher.component import Pusher
    from cxr.components.pusher.known import Known
    from cxr.kubeflow import ir_pass
    from cxr.kubeflow.compile import baseline_component, compile_pipeline
    from cxr.kubeflow.parameters import Parameter
    from cxr.pipeline.gate import Gate, eval_config
    from cxr.pipeline.schema import curated_schema, write_schema

    for name in ("train", "test"):  # TFX would divide a single split
        write_split(tmp_path / "records", name, raw_examples)
    splits = [example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*") for name in ("train", "test")]
    gen = tfx.components.ImportExampleGen(input_base=str(tmp_path / "records"), input_config=example_gen_pb2.Input(splits=splits))
    model = tfx.dsl.Importer(
        MODEL, artifact_type=tfx.types.standard_artifacts.Model, custom_properties={"tfx_version": metadata.version("tfx")}, reimport=True
    ).with_id("Trainer")
    pointer = f"{tmp_path}/models/champion.json"
    baseline = baseline_component(image)(
        baseline=pointer, pointer=pointer, data=str(tmp_path / "records"), split="test", class_names=json.dumps(CLASSES), max_side=MAX_SIDE
    ).with_id("Baseline")
    gate = Gate(min_accuracy=0.3, tolerance=0.0, above_chance=False)  # a constant model
    schema_file = write_schema(curated_schema(CLASSES), tmp_path / "schema")
    schema = tfx.components.ImportSchemaGen(schema_file=str(schema_file))
    evaluator = Evaluator(
        examples=gen.outputs["examples"],
        schema=schema.outputs["schema"],
        model=model.outputs["result"],
        baseline_model=baseline.outputs["model"],
        example_splits=["test"],
        eval_config=eval_config(gate, "constant", CLASSES, code_version=""),
    )
    infra = tfx.dsl.Importer(
        INFRA_BLESSING, artifact_type=tfx.types.standard_artifacts.InfraBlessing, custom_properties={"blessed": 1}
    ).with_id("InfraCheck")
    shortcuts = tfx.dsl.Importer(
        SHORTCUT_BLESSING, artifact_type=tfx.types.standard_artifacts.InfraBlessing, custom_properties={"blessed": 1}
    ).with_id("ShortcutCheck")
    pusher = Pusher(
        model=model.outputs["result"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra.outputs["result"],
        shortcut_blessing=shortcuts.outputs["result"],
        evaluation=evaluator.outputs["evaluation"],
        models_folder=f"{tmp_path}/models",
        known=Known(pipeline="push", split="test"),
    )
    graph = tfx.dsl.Pipeline(
        "push",
        "minio://unused",
        components=[gen, schema, model, baseline, evaluator, infra, shortcuts, pusher],
        enable_cache=True,
        beam_pipeline_args=list(beam_options.local(1)),
    )
    spec = compile_pipeline(graph, image)
    ir_pass.add_parameter(spec, Parameter("pretended", "STRING", "for the test", "Baseline", "pointer"))
    ir_pass.disable_caching(spec, ["Baseline"])
    ir_pass.compare_and_swap(spec, "Baseline", "Pusher")
    ir_pass.name_run(spec, ["Pusher"])
    ir_pass.publish_evaluation(spec, "Evaluator", CLASSES)
    ir_pass.push_blessed_only(spec)
    return yaml.safe_dump(spec)


@pytest.mark.slow
def test_gate_and_push(tmp_path, pipeline, export):
    cluster = SimulatedCluster(tmp_path / "cluster", start=prepared.run)
    stored, models = cluster.objects.root / "minio/bucket/model", tmp_path / "models"
    blessing = cluster.objects.root / "minio/bucket/blessing"
    blessing.mkdir(parents=True)
    (blessing / "INFRA_BLESSED").touch()
    nothing_asked = {"margin": None, "comparisons": (), "masked": (), "reasons": ()}
    verdict = ShortcutVerdict(model="constant", split="test", balanced_accuracy=1 / 3, **nothing_asked)
    verdict.save(cluster.objects.root / "minio/bucket/shortcuts")

    def export_and_check(answer):
        export(stored, answer)
        checked.note(blessing, champion.fingerprint(stored / "Format-Serving"))

    export_and_check([0.6, 0.3, 0.1])
    first = cluster.run(pipeline)
    assert first.succeeded, {name: task.error for name, task in first.tasks.items() if task.error}
    assert first.tasks["Baseline"].outputs is not None
    assert first.tasks["Baseline"].outputs.parameters == {"champion": "none", "baseline": "none"}
    found = champion.read(models / "champion.json")
    assert found is not None
    pushed = first.artifact("Pusher", "pushed_model").metadata
    assert (pushed["pushed_version"], pushed["pushed_destination"]) == (found.version, str(found.folder))
    assert {path.name for path in models.iterdir()} == {found.version, champion.POINTER, champion.LOCK}
    record = read_record(found.folder)
    assert record is not None
    assert (record.pipeline, record.split, record.source, record.fingerprint) == ("push", "test", MODEL, found.fingerprint)
    assert record.run == first.artifact("Pusher", "pushed_model").uri.split("/")[-4]  # <root>/<pipeline>/<run>/<task>/<id>/<output>
    assert record.metrics["accuracy"] == pytest.approx(1 / 3)
    assert (record.baseline, record.floor) == (None, found.version)

    # What KFP's page shows.
    assert first.artifact("Evaluator", "metrics").metadata["accuracy"] == pytest.approx(1 / 3)
    matrix = first.artifact("Evaluator", "confusion_matrix").metadata["confusionMatrix"]
    assert [row["row"] for row in matrix["rows"]] == [[4, 0, 0]] * 3
    assert first.artifact("Evaluator", "roc_normal").metadata["confidenceMetrics"][0]["recall"] == 0
    report = cluster.objects.root / first.artifact("Evaluator", "report").uri.replace("://", "/")
    assert "Gate: blessed" in report.read_text()

    # The same model again: compared with itself, pushed no second time.
    again = cluster.run(pipeline)
    assert again.succeeded, {name: task.error for name, task in again.tasks.items() if task.error}
    assert again.tasks["Pusher"].state is State.SUCCEEDED
    assert champion.read(models / "champion.json") == found
    assert "baseline_accuracy" in again.artifact("Evaluator", "metrics").metadata

    # Another model, whose run looked at the champion before the push above.
    export_and_check([0.1, 0.6, 0.3])
    late = cluster.run(pipeline, {"pretended": str(tmp_path / "nowhere.json")})
    assert late.tasks["Pusher"].state is State.FAILED
    assert f"compared with no champion, but the champion is version {found.version}" in late.tasks["Pusher"].error
    assert champion.read(models / "champion.json") == found
    assert {path.name for path in models.iterdir()} == {found.version, champion.POINTER, champion.LOCK}

    # Again, and in time: pushed, and its record says what it was compared with.
    later = cluster.run(pipeline)
    assert later.succeeded, {name: task.error for name, task in later.tasks.items() if task.error}
    assert later.tasks["Baseline"].outputs is not None
    assert f"compared with version {found.version}, the best one pushed" in later.tasks["Baseline"].outputs.log
    second = champion.read(models / "champion.json")
    assert second is not None
    record = read_record(second.folder)
    assert record is not None
    assert record.baseline is not None
    assert second.version != found.version
    assert record.baseline.version == found.version
    assert record.baseline.metrics["accuracy"] == pytest.approx(1 / 3)
    assert record.floor == found.version  # as good as the one before, not surely better

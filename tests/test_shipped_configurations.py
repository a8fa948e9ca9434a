"""`cxr run` with `full` and `paper`, which no test machine can run as they are.

Weights are made here, networks are small ones that build fast, pictures small and stages short, two folds of an audit and three explained
pictures are enough. Everything else is as shipped. tests/trainer/test_fine_tuning.py has the networks themselves, and at their full size.
"""

import json

import keras
import pytest
from here import cxr
from rich.console import Console

from cxr.core import exit_codes
from cxr.data.demo.generate import make_demo_data
from cxr.pipeline.pipeline_config import load
from cxr.trainer import artifact, devices, model_info
from cxr.trainer.models import backbones

MODELS = {"densenet201": "MobileNetV2", "efficientnetb7": "EfficientNetB0", "mobilenet": "MobileNet"}
SIZE = 64

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.long]


@pytest.fixture
def run(tmp_path, weights_folder, capfd, monkeypatch):
    """Returns a function that runs a shipped configuration on synthetic images: what it said, report.json, and each model's history."""

    def run(config, images, *overrides):
        data, weights = tmp_path / "images", weights_folder(*MODELS.values())
        make_demo_data(data, images=images, image_size=SIZE, seed=2021, console=Console(quiet=True))
        small = [
            f"defaults.weights={weights}",
            *(f"models.{model}.backbone={name}" for model, name in MODELS.items()),
            "defaults.head_training.epochs=2",
            "explain.samples=3",
            "audit.folds=2",
            "audit.masked_models=false",  # of test_end_to_end.py's kind; tests/components/shortcut_check asks a model that answers at once
        ]
        monkeypatch.setenv("COLUMNS", "200")
        place = ("--workspace", tmp_path / "w", "--data", data)
        done = cxr(capfd, "run", "--config", config, *place, f"image_size={SIZE}", *small, *overrides)
        home = tmp_path / "w" / config
        report = json.loads((home / "runs" / "latest" / "report.json").read_text())
        history = {
            model: json.loads(next((home / "tfx" / f"Trainer-{model}" / "model_run").glob("*/history.json")).read_text())
            for model in MODELS
        }
        return done, report, history

    return run


def of_network(network, keep):
    """A backbone's weights, of the layers that `keep` takes."""
    return [weight for layer in backbones.all_layers(network) if keep(layer) for weight in layer.get_weights()]


def test_full(run, tmp_path):
    """Fine-tuned, and refused: networks of chance reach none of what the gate asks."""
    shipped = load("full").models
    done, report, history = run(
        "full",
        90,
        "data.splits={train: 0.5, val: 0.25, test: 0.25}",
        f"defaults.image_size={SIZE}",
        f"models.efficientnetb7.image_size={SIZE}",
        "defaults.augmentation.variants=1",
        "defaults.fine_tuning.epochs=1",
    )
    assert done.returncode == exit_codes.REFUSED, done.stdout + done.stderr
    assert "mixed_precision: there is no GPU here" in (tmp_path / "w/full/runs/latest/run.log").read_text()
    assert {model["outcome"] for model in report["models"].values()} == {"refused"}
    assert all(model["servable"] for model in report["models"].values())
    demanded = {demand["demand"].removeprefix("demands.") for demand in report["models"]["ensemble"]["demands"]}
    assert demanded >= {"accuracy", "0.recall.covid19", "1.balanced_accuracy", "2.calibration_error"}
    precision = devices.precision(mixed=True)  # bfloat16 for the frozen features where the processor has it
    for name, model in history.items():
        head, tuned = model["stages"]
        assert (head["name"], tuned["name"], model["precision"]) == ("head", "fine-tuning", precision)
        assert model["weights_note"] == f"weights of {backbones.find(MODELS[name]).weights_file}"
        for stage in ("head_training", "fine_tuning"):
            assert model["model"][stage] == {
                **getattr(shipped[name], stage).model_dump(mode="json"),
                "epochs": len(head["rows"] if stage == "head_training" else tuned["rows"]),
            }
        trained = keras.saving.load_model(artifact.keras_path(report["models"][name]["model_uri"])).get_layer(backbones.LAYER)
        given = backbones.build(backbones.find(MODELS[name]), SIZE)
        given.load_weights(tmp_path / backbones.find(MODELS[name]).weights_file)
        kernels = [of_network(network, lambda layer: isinstance(layer, keras.layers.Conv2D)) for network in (trained, given)]
        moved = any((a != b).any() for a, b in zip(*kernels, strict=True))
        assert moved == (model["kept_stage"] == "fine-tuning")


def test_paper(run):
    """Its mistakes are part of it: images are dealt one by one, one network gets [0, 1], the ensemble learns from what its members did."""
    done, report, history = run(
        "paper", 90, "data.per_class={train: {covid19: 20, pneumonia: 15, normal: 15}, test: {covid19: 8, pneumonia: 5, normal: 5}}",
        "defaults.head.pool_size=2", "defaults.augmentation.variants=1", "ensemble.stage.epochs=2", "gate.min_accuracy=0",
        "gate.above_chance=false",
    )  # fmt: skip
    assert done.returncode == exit_codes.OK, done.stdout + done.stderr
    assert {model["outcome"] for model in report["models"].values()} == {"pushed"}
    for model in history.values():
        assert model["images"] == {"train": 50, "val": 0}
        (head,) = model["stages"]
        assert "val_loss" not in head["rows"][0]
    settings = {name: model["model"] for name, model in history.items()}
    assert [one["loss"]["name"] for one in settings.values()] == ["mean_squared_error", "mean_squared_error", "categorical_crossentropy"]
    assert [one["input_adapter"] for one in settings.values()] == ["auto", "identity", "auto"]
    ensemble = model_info.read_info(report["models"]["ensemble"]["model_uri"])
    assert ensemble.ensemble_method == "stacking"

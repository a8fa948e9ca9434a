"""Each node's cache key holds the code that this node runs, and no more."""

import inspect
import sys

import pytest

from cxr.components.ensemble_trainer.component import EnsembleTrainer
from cxr.components.report.component import Report
from cxr.pipeline import code_version as module
from cxr.pipeline.code_version import code_version, modules_of
from cxr.pipeline.gate import eval_config
from cxr.pipeline.graph import CODE

# What must and what must not be part of a node's key; of a package, nothing in it.
HELD = {
    "AnomalyCheck": (["cxr.components.anomaly_check.anomalies"], ["cxr.trainer.training"]),
    "DriftCheck": (["cxr.components.drift_check.distances"], ["cxr.trainer.training", "cxr.components.anomaly_check.anomalies"]),
    "Audit": (["cxr.data.audit.tables", "cxr.core.resampling"], ["cxr.trainer.training", "cxr.data.ingest.ingest"]),
    "Transform": (["cxr.trainer.preprocessing", "cxr.core.features"], ["cxr.trainer.training", "cxr.trainer.export.saved_model"]),
    "Trainer": (
        [
            "cxr.trainer.training",
            "cxr.trainer.models.backbones",
            "cxr.trainer.export.signatures",
            "cxr.trainer.explain.gradcam",
            "cxr.trainer.augmentation",
        ],
        ["cxr.trainer.explain.explanations", "cxr.trainer.ensemble.joining", "cxr.components.metrics.tally", "cxr.data.ingest.ingest"],
    ),
    "EnsembleTrainer": (
        ["cxr.trainer.ensemble.joining", "cxr.trainer.export.signatures", "cxr.trainer.explain.gradcam"],
        ["cxr.trainer.training", "cxr.trainer.explain.explanations"],
    ),
    "Evaluator": (
        [
            "cxr.components.evaluator.joined",
            "cxr.components.evaluator.kept",
            "cxr.components.evaluator.recorded_model",
            "cxr.components.metrics.tally",
            "cxr.trainer.ensemble.joint_answers",
        ],
        ["cxr.trainer.training", "cxr.components.infra_check.replay"],
    ),
    "Explanation": (
        ["cxr.components.explanation.localisation", "cxr.components.answers.most_confident", "cxr.data.images.overlays"],
        ["cxr.trainer.training", "cxr.trainer.export.signatures", "cxr.serving.server.inference", "cxr.components.report"],
    ),
    "Report": (
        ["cxr.components.report.page.sections.errors", "cxr.components.metrics.evaluation"],
        ["cxr.trainer.training", "cxr.serving.server.inference"],
    ),
    "Features": (
        [
            "cxr.trainer.models.assembly",
            "cxr.trainer.augmentation",
            "cxr.trainer.burnt_in",
            "cxr.trainer.models.bn_recalibration",
            "cxr.trainer.cached_features",
            "cxr.trainer.decoded_images",
            "cxr.trainer.transform_graph",
            "cxr.trainer.devices",
        ],
        [
            "cxr.trainer.training",
            "cxr.trainer.training_state",
            "cxr.trainer.fine_tuning",
            "cxr.trainer.image_epochs",
            "cxr.trainer.head_stage",
            "cxr.trainer.losses",
            "cxr.trainer.history",
            "cxr.trainer.artifact",
            "cxr.trainer.model_info",
            "cxr.trainer.splits",
            "cxr.trainer.calibration.settling",
            "cxr.trainer.calibration_info",
            "cxr.data",
        ],
    ),
    "ShortcutCheck": (
        ["cxr.components.shortcut_check.masked_models", "cxr.data.audit.regions", "cxr.components.metrics.names"],
        ["cxr.trainer.training", "cxr.components.infra_check.replay"],
    ),
    "InfraCheck": (
        ["cxr.components.infra_check.replay", "cxr.serving.server.inference", "cxr.serving.server.main"],
        ["cxr.trainer.training", "cxr.components.metrics.tally", "cxr.serving.page"],
    ),
}


@pytest.mark.parametrize("node", HELD)
def test_a_node_holds_its_own_code(node):
    inside, outside = HELD[node]
    held = set(modules_of(*CODE[node]))
    assert set(inside) <= held
    assert not [name for name in sorted(held) if any(f"{name}.".startswith(f"{one}.") for one in outside)]


def test_every_node_with_code_of_ours_is_looked_at():
    assert set(CODE) == set(HELD)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A project of three modules: `entry` imports `used` inside a function, and the standard library."""
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "entry.py").write_text("import json\ndef f():\n    from made_up import used\n    return used\n")
    (folder / "used.py").write_text("import numpy\n")
    (folder / "other.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "OURS", "made_up.")
    code_version.cache_clear()
    yield folder
    code_version.cache_clear()
    for name in [name for name in sys.modules if name.startswith("made_up")]:
        del sys.modules[name]


def version() -> str:
    code_version.cache_clear()
    return code_version("made_up.entry")


def test_a_change_of_what_runs_changes_the_version_and_another_does_not(package):
    before = version()
    (package / "other.py").write_text("X = 2\n")
    assert version() == before
    (package / "used.py").write_text("import numpy  # changed\n")
    assert version() != before


def test_the_versions_of_libraries_count_where_they_are_imported(package, monkeypatch):
    before = version()
    real = module.importlib.metadata.version
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "0" if name == "pandas" else real(name))
    assert version() == before
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "0" if name == "numpy" else real(name))
    assert version() != before


def test_what_is_installed_is_read_once_for_all_nodes(package, monkeypatch):
    real = module.importlib.metadata.packages_distributions
    calls: list[None] = []

    def counted():
        calls.append(None)
        return real()

    monkeypatch.setattr(module.importlib.metadata, "packages_distributions", counted)
    module._installed.cache_clear()
    assert code_version("made_up.entry") != code_version("made_up.other")
    assert len(calls) == 1


@pytest.mark.parametrize("made", [eval_config, EnsembleTrainer, Report])
def test_no_node_is_made_without_it(made):
    assert inspect.signature(made).parameters["code_version"].default is inspect.Parameter.empty

"""What an ensemble could not be fitted to is refused before anything is trained."""

import pytest

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest.dataset import DATASET, Dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.examples import check_ensemble
from cxr.pipeline.local_run import run
from cxr.pipeline.pipeline_config import load

REMEDY = [f"defaults.head_training.{name}.monitor=loss" for name in ("early_stopping", "reduce_on_plateau")]
WATCHED = "ensemble.stage.early_stopping={monitor: val_loss}"
FINE_TUNED = "models.mobilenet.fine_tuning={epochs: 1}"


def described(patients, images=9):
    """What `cxr ingest` says of splits whose last class has so many patients; 0: an older version, which did not count them."""
    counts = {split: dict.fromkeys(features.CLASS_NAMES, images) for split in patients}
    own = {split: dict(zip(features.CLASS_NAMES, (9, 9, count), strict=True)) for split, count in patients.items() if count}
    return Dataset(
        source="images", class_names=features.CLASS_NAMES, counts=counts, patients={}, class_patients=own, own_patients=0, rejects=0,
        duplicates=0, seed=1, synthetic=False, config=Ingest(), fingerprint="", files={}, versions={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("patients", "overrides", "message"),
    [
        (
            {"train": 9, "val": 1, "test": 9},
            [FINE_TUNED],
            r"'auto' is to be fitted to one half of the validation patients \(mobilenet: .*a class has one validation patient only",
        ),
        ({"train": 1, "val": 1, "test": 9}, [], r"\(densenet201, efficientnetb7, mobilenet: .*one validation patient only"),
        (
            {"train": 9, "test": 9},
            [FINE_TUNED, "ensemble.method=stacking"],
            "'stacking' has nothing to be fitted to .* without a validation",
        ),
    ],
)
def test_refused(patients, overrides, message):
    with pytest.raises(CxrError, match=message):
        check_ensemble(load("cpu", overrides), described(patients))


def test_records_of_an_older_version_say_at_least_how_many_images():
    config = load("cpu", [FINE_TUNED])
    with pytest.raises(CxrError, match="one validation patient only"):
        check_ensemble(config, described(dict.fromkeys(features.SPLITS, 0), images=1))
    check_ensemble(config, described(dict.fromkeys(features.SPLITS, 0), images=2))


@pytest.mark.parametrize(
    ("patients", "overrides"),
    [
        (2, [FINE_TUNED]),
        (1, []),
        (1, [FINE_TUNED, "ensemble.method=soft"]),
        (1, [FINE_TUNED, "ensemble.fitted_on=training"]),
        (1, [FINE_TUNED, "ensemble=null", "gate={}"]),
    ],
)
def test_not_refused(patients, overrides):
    check_ensemble(load("cpu", overrides), described({"train": 9, "val": patients, "test": 9}))


def test_a_run_ends_before_its_first_node(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("cxr.pipeline.local_run.start_fork_server", lambda: None)  # no node will ask for it
    described({"train": 9, "val": 1, "test": 9}).write(tmp_path / "records" / DATASET)
    with pytest.raises(CxrError, match="choose ensemble.method=soft or hard, or set ensemble.fitted_on=training"):
        run(load("cpu", [FINE_TUNED, "defaults.augmentation.rotation=5"]), str(tmp_path / "records"), tmp_path / "workspace")
    said = capfd.readouterr().err
    assert "models.densenet201.augmentation has no effect" in said
    assert "models.mobilenet.augmentation" not in said  # its backbone learns
    assert not (tmp_path / "workspace" / "cpu" / "metadata.db").exists()
    assert not (tmp_path / "workspace" / "cpu" / "runs" / "latest").exists()


def test_a_monitor_without_its_split_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("cxr.pipeline.local_run.start_fork_server", lambda: None)
    described({"train": 9, "test": 9}).write(tmp_path / "records" / DATASET)
    key = "models.densenet201.head_training.early_stopping"
    with pytest.raises(CxrError, match=rf"{key}\.monitor: val_loss needs a validation split .* monitor loss or accuracy"):
        run(load("cpu"), str(tmp_path / "records"), tmp_path / "workspace")
    load("cpu", [*REMEDY, "ensemble.method=soft"]).check_validation(has_validation=False)
    load("cpu").check_validation(has_validation=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "ensemble.method: 'auto' needs a validation split"),
        (["ensemble.method=stacking", WATCHED], r"ensemble\.stage\.early_stopping\.monitor: val_loss needs a validation split"),
    ],
)
def test_an_ensemble_that_needs_a_validation_split_is_told_before_anything_is_trained(overrides, message, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr.pipeline.local_run.start_fork_server", lambda: None)
    described({"train": 9, "test": 9}).write(tmp_path / "records" / DATASET)
    with pytest.raises(CxrError, match=message):
        run(load("cpu", [*REMEDY, *overrides]), str(tmp_path / "records"), tmp_path / "workspace")
    assert not (tmp_path / "workspace" / "cpu" / "metadata.db").exists()


def test_a_method_without_training_watches_nothing():
    load("paper").check_validation(has_validation=False)
    load("paper", ["ensemble.method=hard", WATCHED]).check_validation(has_validation=False)

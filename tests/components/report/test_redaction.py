from __future__ import annotations

import pytest
import yaml

from cxr.components.report.redaction import configuration_without_paths, place, without_paths
from cxr.pipeline.pipeline_config import load


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/data/Jane Doe/scan 1.dcm: cannot be read", "(path) cannot be read"),
        ("cannot open images/7.png or images/8.png today", "cannot open (path) today"),
        (r"C:\studies\Doe\1.png: truncated", "(path) truncated"),
        ("gs://bucket/doe^jane: not found", "(path) not found"),
        ("Doe.DCM: no pixels", "(path) no pixels"),
        ("schemas/Jane Doe.pbtxt: no schema", "(path) no schema"),
        ("/data/Anna Meyer: no records", "(path): no records"),
        ("KeyError: '/data/studies/Anna Meyer'", "KeyError: '(path)'"),
        (r"the folder D:\Praxis Dr Meyer is empty", "the folder (path)"),
        ("no member 'Anna Meyer 1960.dcm' in it", "no member '(path)' in it"),
        ("Meyer.zip and Meyer.nii: damaged", "(path) damaged"),
        ("the model's 3 of 4, 12 images/s, 'covid19' and 'normal'", "the model's 3 of 4, 12 (path) 'covid19' and 'normal'"),
        ("accuracy 0.714 is below 0.850", "accuracy 0.714 is below 0.850"),
        ("one /a/b\ntwo", "one (path)\ntwo"),
    ],
)
def test_paths_are_replaced(text: str, left: str) -> None:
    assert without_paths(text) == left


def test_the_end_of_a_uri() -> None:
    assert place("/srv/doe/workspace/demo/tfx/Trainer-mobilenet/model/12") == "Trainer-mobilenet/model/12"


def test_a_configuration_loses_its_paths_and_chosen_rows_only() -> None:
    changes = ["defaults.weights=/srv/doe/weights", "data.where={patient_id: doe}", "schema_file=my/schema.pbtxt"]
    config = load("demo", changes)
    text = configuration_without_paths(config.to_yaml())
    assert "doe" not in text
    shown, real = yaml.safe_load(text), config.model_dump(mode="json")
    assert shown["data"]["where"] == {"patient_id": "(not shown)"}
    assert shown["schema_file"] == shown["models"]["mobilenet"]["weights"] == "(path)"
    assert {key: shown[key] for key in ("gate", "ensemble", "image_size")} == {key: real[key] for key in ("gate", "ensemble", "image_size")}
    assert shown["models"]["mobilenet"]["head_training"] == real["models"]["mobilenet"]["head_training"]


def test_files_and_folders_of_settings_are_hidden_whatever_they_look_like():
    """A relative one may hold blanks, and a name."""
    given = ["schema_file=my schemas/Jane Doe.pbtxt", "models.mobilenet.weights=Jane Doe", "feature_cache.folder=cache of Jane Doe"]
    text = configuration_without_paths(load("demo", given).to_yaml())
    assert "Jane" not in text
    shown = yaml.safe_load(text)
    assert shown["schema_file"] == shown["models"]["mobilenet"]["weights"] == shown["feature_cache"]["folder"] == "(path)"
    assert shown["models"]["densenet201"]["weights"] == "none"

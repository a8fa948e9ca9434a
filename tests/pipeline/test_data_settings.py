"""Settings about the making of records that exist already."""

import io
import json

import pytest
import yaml
from rich.console import Console

from cxr.core.errors import CxrError
from cxr.data.ingest.dataset import DATASET, Dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.data_settings import without_effect
from cxr.pipeline.examples import prepare_data
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import Workspace

CLASSES = ("covid19", "pneumonia", "normal")


@pytest.fixture
def records(tmp_path):
    """A folder that says it was ingested by patient, from a part of a manifest."""
    made_with = Ingest(where={"subset": "main"}, listed_twice="merge")
    counts = {split: dict.fromkeys(CLASSES, 3) for split in ("train", "val", "test")}
    dataset = Dataset(
        source="manifest.csv",
        class_names=CLASSES,
        counts=counts,
        patients=dict.fromkeys(counts, 3),
        own_patients=0,
        rejects=0,
        duplicates=0,
        seed=made_with.seed,
        synthetic=False,
        config=made_with,
        fingerprint="f",
        files={},
        versions={},
    )
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / DATASET).write_text(dataset.model_dump_json())
    return tmp_path / "records"


@pytest.fixture
def prepare(records, tmp_path):
    def call(name, *overrides):
        said = io.StringIO()
        examples = prepare_data(load(name, overrides), str(records), Workspace(tmp_path / "w", "x"), Console(file=said, width=500))
        return examples, said.getvalue()

    return call


def test_settings_left_at_their_defaults_are_nobodys_wish(prepare):
    examples, said = prepare("cpu")
    assert said == ""
    assert examples.made_with.where == {"subset": "main"}


def test_an_override_that_cannot_take_effect_is_an_error(prepare):
    with pytest.raises(CxrError, match=r"data\.seed is 7, the records were made with 2021"):
        prepare("cpu", "data.seed=7")
    prepare("cpu", "data.seed=2021", "data.workers=1", "data.max_reject_share=0.5", "data.paths_outside=allow")


def test_the_paper_on_a_patient_split_is_not_the_paper(prepare):
    with pytest.raises(CxrError) as error:
        prepare("paper")
    assert 'data.split_by is "image", the records were made with "patient"' in str(error.value)
    overrides = [word.strip("'") for word in str(error.value).rsplit("records are: ")[1].split()]
    prepare("paper", *overrides)  # the remedy that the error names works


def test_the_demos_own_settings_are_about_its_own_images(prepare):
    _, said = prepare("demo")
    assert "warning" in said
    assert "data.seed is 2032" in said


def test_values_are_compared_not_their_spelling():
    wanted = Ingest.model_validate(yaml.safe_load("{splits: {train: 0.70, val: 0.15, test: 0.15}, where: {}}"))
    assert without_effect(wanted, Ingest()) == {}
    assert list(without_effect(Ingest(per_class=None, where={"a": "b"}), Ingest())) == ["where"]
    assert json.loads(json.dumps(without_effect(Ingest(max_side=None), Ingest()))) == {"max_side": [None, 1024]}

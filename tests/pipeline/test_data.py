import io

import pytest
from rich.console import Console

from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.data.ingest.pseudonyms import KEY_FILE_VARIABLE
from cxr.pipeline.examples import CALLED_BY, prepare_data
from cxr.pipeline.local_run import run
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import Workspace


@pytest.fixture
def images(tmp_path):
    """Twelve pictures of each class, whose names are secrets."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("covid19", "pneumonia", "normal"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(12):
            Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(tmp_path / "images" / name / f"SECRET{k}.png")
    return tmp_path / "images"


@pytest.fixture
def prepared(tmp_path, images, shown):
    def call(data=None, *overrides):
        config = load("demo", overrides)
        paths = Workspace(tmp_path / "workspace", config.name)
        return prepare_data(config, str(data or images), paths, Console(file=shown, width=300))

    return call


@pytest.fixture
def shown():
    return io.StringIO()


def test_images_are_ingested_with_the_key_that_the_environment_names(prepared, tmp_path, monkeypatch):
    first = prepared().path
    assert (tmp_path / "workspace" / "pseudonym.key").exists()
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "elsewhere.key"))
    before = (first / "dataset.json").read_bytes()
    assert prepared().path == first
    assert (tmp_path / "elsewhere.key").exists()
    assert (first / "dataset.json").read_bytes() != before  # with another key there are other pseudonyms


def test_a_run_tells_what_was_left_out_and_where_the_list_is(prepared, images, shown):
    (images / "normal" / "SECRET0.png").write_bytes(b"")
    records = prepared(None, "data.max_reject_share=0.1").path
    assert f"1 file left out (1 not an image): {records}.private/rejects.csv\n" in shown.getvalue()
    assert "SECRET" not in shown.getvalue()


def test_touched_images_leave_the_records_alone(prepared, images):
    def states():
        return {path: path.stat().st_mtime_ns for path in prepared().path.rglob("*.gz")}

    before = states()
    for path in images.rglob("*.png"):
        path.touch()
    assert states() == before


def test_images_that_a_link_leads_to_are_read_once(prepared, images, tmp_path):
    def states():
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("workspace/*/data/*/**/*.gz")}

    first, before = prepared(), states()
    assert before
    (tmp_path / "link").symlink_to(images)
    assert prepared(tmp_path / "link") == first
    (tmp_path / "records").symlink_to(first.path)
    assert prepared(tmp_path / "records").made_with == first.made_with
    assert states() == before


@pytest.mark.parametrize("called_by", ["cxr run", "make run"])
def test_messages_name_settings_as_the_command_does(prepared, images, monkeypatch, called_by):
    (images / "normal" / "twice.png").symlink_to(images / "normal" / "SECRET0.png")
    if called_by == "make run":
        monkeypatch.setenv(CALLED_BY, "make")
    setting = "data.listed_twice=merge"
    with pytest.raises(CxrError, match=f"or set ARGS='{setting}' " if called_by == "make run" else f"or set {setting} ") as error:
        prepared()
    assert "SECRET" not in str(error.value)
    prepared(None, setting)


def test_an_object_store_is_refused_with_a_way_out(prepared):
    with pytest.raises(UsageError, match=r"--data gs://bucket/records: `cxr run` reads folders of this machine; copy .* Kubeflow"):
        prepared("gs://bucket/records")


def test_a_source_that_is_not_there_is_a_wrong_argument(prepared):
    with pytest.raises(UsageError, match="--data nowhere: no such file or folder; give images"):
        prepared("nowhere")


def test_help_promises_no_object_store():
    from typer.testing import CliRunner

    from cxr.cli.main import app

    assert "://" not in CliRunner().invoke(app, ["run", "--help"]).output


def test_data_to_measure_on_are_not_trained_on(prepared):
    with pytest.raises(CxrError, match=r"was ingested as the one split 'test', to measure models on \(cxr evaluate --data "):
        prepared(None, "data.only_split=test")


@pytest.mark.seconds
def test_the_demos_records_say_where_the_disease_shows(tmp_path, shown):
    """So that a run's report can say whether heat maps lie there."""
    import tensorflow as tf

    config = load("demo", ["demo_data.images=30", "demo_data.image_size=32"])
    records = prepare_data(config, None, Workspace(tmp_path / "workspace", config.name), Console(file=shown)).path
    files = [str(file) for file in records.glob("*/*.tfrecord.gz")]
    read = [tf.train.Example.FromString(record.numpy()).features.feature for record in tf.data.TFRecordDataset(files, "GZIP")]
    sick = [example[features.LABEL].bytes_list.value[0] != b"normal" for example in read]
    assert len(read) == 30
    assert [features.LESION_MASK in example for example in read] == sick


def test_images_may_lie_in_any_folder(prepared, images):
    """What is made of them lies in the workspace, under a name that TFX takes for a name."""
    odd = images.rename(images.with_name("scans [1] *"))
    assert prepared(str(odd)).path.name.startswith("scans--1----")


def test_folders_that_tfx_takes_for_patterns_are_refused(prepared, tmp_path):
    records = prepared().path
    moved = records.rename(records.with_name("records [1]"))
    with pytest.raises(UsageError, match=r"--data .*records \[1\]: TFX reads files by patterns"):
        prepared(str(moved))
    with pytest.raises(UsageError, match=r"--workspace .*w \[1\]/demo: TFX reads files by patterns"):
        run(load("demo"), None, tmp_path / "w [1]")
    assert not (tmp_path / "w [1]").exists()

import errno
import fcntl
import gzip
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from small_networks import shrink_mobilenet
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import exit_codes
from cxr.core.errors import CxrError, UsageError
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.crossval import read_records
from cxr.pipeline.examples import Examples
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import Workspace

SMALL = {
    "name": "small",
    "image_size": 32,
    "models": {
        "mobilenet": {
            "backbone": "MobileNet",
            "weights": "none",
            "head_training": {"epochs": 2, "optimizer": {"learning_rate": 0.01}},
        }
    },
    "ensemble": None,
}


@pytest.fixture
def configuration(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL))
    return file


@pytest.fixture
def records(tmp_path, raw_examples):
    """Twelve images of six patients in `train`; nothing that can be read in `test`."""
    return written(tmp_path, raw_examples, 6)


@pytest.fixture
def single_images(tmp_path, raw_examples):
    """The same, each image of a patient of its own: every part of every fold has all classes."""
    import tensorflow as tf

    examples = [tf.train.Example.FromString(example) for example in raw_examples]
    for number, example in enumerate(examples):
        example.features.feature["patient_id"].bytes_list.value[0] = f"patient{number}".encode()
    return written(tmp_path, [example.SerializeToString() for example in examples], 12)


def written(tmp_path, examples, patients):
    """Writes a folder as `cxr ingest` does."""
    import tensorflow as tf

    from cxr.data.ingest.dataset import DATASET, Dataset
    from cxr.data.ingest.ingest_config import Ingest

    folder = tmp_path / "records"
    (folder / "train").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "train/examples-00000-of-00001.tfrecord.gz"), "GZIP") as writer:
        for example in examples:
            writer.write(example)
    (folder / "test").mkdir()
    (folder / "test/examples-00000-of-00001.tfrecord.gz").write_bytes(b"not to be opened")
    config = Ingest()
    dataset = Dataset(
        source="images",
        class_names=config.class_names,
        counts={"train": dict.fromkeys(config.class_names, 4), "test": dict.fromkeys(config.class_names, 1)},
        patients={"train": patients, "test": 3},
        own_patients=0,
        rejects=0,
        duplicates=0,
        seed=1,
        synthetic=False,
        config=config,
        fingerprint="",
        files={},
        versions={},
    )
    (folder / DATASET).write_text(dataset.model_dump_json())
    return folder


@pytest.mark.slow
def test_figures_of_two_folds_and_a_second_call_that_computes_and_trains_nothing(configuration, records, tmp_path, monkeypatch):
    shrink_mobilenet(monkeypatch.setattr, monkeypatch.setitem)
    arguments = ["crossval", "-c", configuration, "-d", records, "--folds", 2, "--splits", "train", "--workspace", tmp_path / "workspace"]
    done = CliRunner().invoke(app, [*map(str, arguments), "--out", str(tmp_path / "first"), "--json", str(tmp_path / "summary.json")])
    assert done.exit_code == exit_codes.OK, done.output
    shown = " ".join(done.output.split())
    assert "2 folds, 12 images of 6 patients (train)" in shown
    assert "batch statistics: where a backbone is recalibrated: from images of all folds, without their labels" in shown
    assert "source made up was not left out" in shown
    summary = json.loads((tmp_path / "first/crossval.json").read_text())
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["results"]) == {"by patient", "by image"}
    assert summary["best_backbone"] == "mobilenet"
    assert summary["configuration"]["models"]["mobilenet"]["head_training"]["epochs"] == 2
    assert len(list((tmp_path / "first/folds").iterdir())) == 4
    assert "patient0" not in "".join(file.read_text() for file in tmp_path.glob("first/**/*.json"))

    monkeypatch.setattr("cxr.trainer.cached_features.BatchedModel.batch", None)
    monkeypatch.setattr("cxr.trainer.crossval.members.train_head", None)
    again = CliRunner().invoke(app, [*map(str, arguments), "--out", str(tmp_path / "second")])
    assert again.exit_code == exit_codes.OK, again.output
    assert json.loads((tmp_path / "second/crossval.json").read_text()) == summary

    # Into the folder of the first: the same cross-validation takes the place of what is there, another one is refused.
    (tmp_path / "first/folds/005-of-an-older-call.json").write_text("")
    assert CliRunner().invoke(app, [*map(str, arguments), "--out", str(tmp_path / "first")]).exit_code == exit_codes.OK
    assert sorted(file.name for file in (tmp_path / "first/folds").iterdir()) == sorted(
        file.name for file in (tmp_path / "second/folds").iterdir()
    )
    before = {file: file.read_bytes() for file in (tmp_path / "first").rglob("*.json")}
    other = shutil.copytree(records, tmp_path / "other")
    shard = next((other / "train").iterdir())
    shard.write_bytes(shard.read_bytes() + gzip.compress(b""))  # the same images, in another file
    for change in (["--seed", "7"], ["models.mobilenet.head_training.epochs=3"], ["--data", str(other)]):
        refused = CliRunner().invoke(app, [*map(str, arguments), "--out", str(tmp_path / "first"), *change])
        assert isinstance(refused.exception, UsageError)
        assert f"--out {tmp_path}/first: holds the results of another cross-validation" in str(refused.exception)
    assert {file: file.read_bytes() for file in (tmp_path / "first").rglob("*.json")} == before


def invoked(*arguments):
    """Runs cxr crossval; stderr and stdout in one."""
    return CliRunner().invoke(app, ["crossval", *map(str, arguments)])


@pytest.mark.slow
@pytest.mark.long
def test_a_model_that_fine_tunes_is_trained_whole_in_every_fold_and_an_interrupted_call_goes_on(
    configuration, single_images, tmp_path, monkeypatch
):
    """The network is new in every fold, its answers are fine-tuning's, and what was done before the interruption is not done again."""
    from cxr.trainer import fine_tuning

    tuned = ["models.mobilenet.fine_tuning.epochs=2", "models.mobilenet.fine_tuning.optimizer.learning_rate=0.01"]
    arguments = ["-c", configuration, "-d", single_images, "--folds", 2, "--splits", "train", "--workspace", tmp_path / "workspace", *tuned]
    trained: list[tuple[int, int, int]] = []  # images learnt from, epochs that were behind, epochs of now
    real, interrupted = fine_tuning.run_stage, False

    def watched(name, model, stage, loss, data, **more):
        nonlocal interrupted
        if name != "fine-tuning":
            return real(name, model, stage, loss, data, **more)
        if len(trained) == 1 and not interrupted:  # in the second fold, after one of two epochs
            interrupted = True
            real(name, model, stage.model_copy(update={"epochs": 1}), loss, data, **more)
            raise KeyboardInterrupt
        history = real(name, model, stage, loss, data, **more)
        trained.append((data.steps, history.resumed_from, len(history.rows)))
        return history

    monkeypatch.setattr(fine_tuning, "run_stage", watched)
    first = invoked(*arguments, "--out", tmp_path / "first")
    assert isinstance(first.exception, SystemExit | KeyboardInterrupt), first.exception
    assert len(trained) == 1
    second = invoked(*arguments, "--out", tmp_path / "second")
    assert second.exit_code == exit_codes.OK, second.output
    # Each image is a patient's: dealt by image, the folds are the same and their networks are there.
    assert [resumed for _, resumed, _ in trained] == [0, 1]
    shown = " ".join(second.output.split())
    assert "1 whole network to train (4 folds × 1 model minus those that are already trained" in shown
    assert "up to 2 epochs of the head, then up to 2 of the whole network" in shown
    summary = json.loads((tmp_path / "second/crossval.json").read_text())
    assert set(summary["results"]["by patient"]) == {"mobilenet", "logistic regression, mobilenet"}
    assert not list((tmp_path / "workspace").rglob("*.state"))
    again = invoked(*arguments, "--out", tmp_path / "third")
    assert "to train" not in again.output
    assert len(trained) == 2
    assert json.loads((tmp_path / "third/crossval.json").read_text()) == summary


def test_a_model_that_there_is_not_is_refused_before_anything_is_read(configuration, tmp_path):
    done = invoked("-c", configuration, "-d", "nowhere", "--models", "mobilenet,vgg", "--workspace", tmp_path / "workspace")
    assert isinstance(done.exception, UsageError)
    assert "--models mobilenet,vgg: there is no model 'vgg'; there are mobilenet" in str(done.exception)
    assert not (tmp_path / "workspace").exists()


@pytest.mark.seconds
def test_what_a_killed_call_left_of_a_transform_graph_goes_with_the_next(configuration, records, transform_dir, tmp_path, monkeypatch):
    config, folder, here = load(str(configuration)), tmp_path / "graphs", os.getpid()
    examples = Examples(records, ("train", "test"), synthetic=False, made_with=Ingest())

    def write(_, draft, *__):
        shutil.copytree(transform_dir, draft)
        if os.getpid() != here:
            (folder / ".analysis-x").mkdir()  # of its temporary files
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("cxr.pipeline.analysis.write_transform_graph", write)
    process = multiprocessing.get_context("fork").Process(target=read_records, args=(config, examples, ["train"], folder))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (left,) = folder.glob("[!.]*")
    (folder / "of-other-records.0123456789abcdef0123456789abcdef").mkdir()  # as an earlier version called them
    assert len(read_records(config, examples, ["train"], folder).images) == 12
    assert [path.name for path in folder.iterdir()] == [left.stem]


@pytest.mark.seconds
def test_transform_works_on_the_disk_of_its_graph(raw_examples, make_transform, monkeypatch):
    """Else a full disk of temporary files is told as the workspace's."""
    import tensorflow_transform.beam as tft_beam

    used = []

    class Watched(tft_beam.Context):
        def __init__(self, temp_dir):
            used.append(Path(temp_dir).parent)
            super().__init__(temp_dir=temp_dir)

    monkeypatch.setattr(tft_beam, "Context", Watched)
    artifact = Path(make_transform(raw_examples))
    assert used == [artifact.parent]
    assert sorted(path.name for path in artifact.parent.iterdir()) == ["artifact", "examples.gz"]


def test_a_workspace_in_which_tensorflow_finds_nothing_is_refused(configuration, records, tmp_path):
    error = invoked("-c", configuration, "-d", records, "--splits", "train", "--workspace", tmp_path / "a\\b").exception
    assert isinstance(error, UsageError)
    assert f"--workspace {tmp_path}/a\\b/small: TFX reads files by patterns, where [ ] * ? \\ have a meaning" in str(error)
    assert not (tmp_path / "a\\b").exists()


@pytest.mark.parametrize("splits", ["", " , "])
def test_no_split_at_all_is_refused_before_anything_is_read(configuration, tmp_path, splits):
    error = invoked("-c", configuration, "-d", tmp_path / "none", "--splits", splits).exception
    assert isinstance(error, UsageError)
    assert str(error) == f"--splits {splits!r}: names no split; the folds are dealt from train,val by default"


def test_a_second_one_at_once_is_refused_and_adds_nothing(configuration, records, tmp_path):
    workspace = Workspace(tmp_path / "workspace", load(str(configuration)).name)
    with workspace.lock_crossval():
        error = invoked("-c", configuration, "-d", records, "--splits", "train", "--workspace", workspace.root).exception
    assert isinstance(error, CxrError)
    assert "another cross-validation of pipeline" in str(error)
    assert [kept.name for kept in workspace.crossval.iterdir()] == ["results"]
    assert not workspace.feature_cache.exists()


def test_a_second_one_at_once_to_the_same_folder_is_refused_from_any_workspace(configuration, records, tmp_path):
    (out := tmp_path / "mine").mkdir()
    handle = os.open(out, os.O_RDONLY)  # as the first one holds it
    fcntl.flock(handle, fcntl.LOCK_EX)
    error = invoked("-c", configuration, "-d", records, "--splits", "train", "--out", out, "--workspace", tmp_path / "workspace").exception
    os.close(handle)
    assert isinstance(error, CxrError)
    assert f"--out {out}: another cross-validation writes there; wait for its end, or name another folder" in str(error)
    assert not (tmp_path / "workspace" / "small" / "crossval").exists()


@pytest.mark.parametrize("option", [True, False])
@pytest.mark.parametrize(
    ("readable", "words"),
    [
        (True, "the folder for results cannot be made (Permission denied); --out names another"),
        (False, "cannot be read (Permission denied); name another folder with --out, or remove this one"),
    ],
)
def test_a_folder_for_results_that_may_not_be_used_is_named(configuration, records, tmp_path, monkeypatch, option, readable, words):
    workspace = Workspace(tmp_path / "workspace", "small")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir" if readable else "read_bytes", refuse)
    out = ["--out", tmp_path / "mine"] if option else []
    error = invoked("-c", configuration, "-d", records, "--splits", "train", "--workspace", workspace.root, *out).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(str(tmp_path / "mine" if option else workspace.crossval_results))
    assert str(error).endswith(words)


def test_a_split_that_the_records_lack_is_named(configuration, records, tmp_path):
    arguments = ["crossval", "-c", str(configuration), "-d", str(records), "--workspace", str(tmp_path / "workspace")]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, UsageError)
    assert "has no split 'val', only train, test" in str(done.exception)

import pytest

from cxr.kubeflow import shared_folder


@pytest.fixture
def task(tmp_path):
    given = tmp_path / "pod/minio/b/examples"
    (given / "Split-train").mkdir(parents=True)
    (given / "Split-train/a").write_text("1")
    (given / "Split-val").mkdir()
    return {
        "inputs": {"artifacts": {"examples": {"artifacts": [{"uri": str(given)}]}}},
        "outputs": {"artifacts": {"model": {"artifacts": [{"uri": str(tmp_path / "pod/minio/b/run/model")}]}}},
    }


def test_there_and_back(task, tmp_path):
    shared = str(tmp_path / "shared/1")
    staged = shared_folder.stage(task, shared)
    (examples,) = staged["inputs"]["artifacts"]["examples"]["artifacts"]
    (model,) = staged["outputs"]["artifacts"]["model"]["artifacts"]
    assert {examples["uri"], model["uri"]} == {f"{shared}/0", f"{shared}/1"}
    assert (tmp_path / "shared/1/0/Split-train/a").read_text() == "1"
    assert (tmp_path / "shared/1/0/Split-val").is_dir()

    (tmp_path / "shared/1/1/assets").mkdir(parents=True)
    (tmp_path / "shared/1/1/saved_model.pb").write_text("2")
    report = {"artifacts": {"model": {"artifacts": [{"uri": model["uri"], "metadata": {"of": examples["uri"]}}]}}}
    (found,) = shared_folder.collect(task, staged, report)["artifacts"]["model"]["artifacts"]
    assert found["uri"] == str(tmp_path / "pod/minio/b/run/model")
    assert found["metadata"]["of"] == str(tmp_path / "pod/minio/b/examples")
    assert (tmp_path / "pod/minio/b/run/model/saved_model.pb").read_text() == "2"
    assert (tmp_path / "pod/minio/b/run/model/assets").is_dir()


def test_every_attempt_has_its_own_folder_and_leaves_none(task, tmp_path):
    shared, folders = f"{tmp_path}/shared/", []

    def attempt(error: BaseException | None = None):
        with shared_folder.task_folder(shared, task) as folder:
            shared_folder.stage(task, folder)
            folders.append(folder)
            if error:
                raise error

    attempt()
    with pytest.raises(KeyboardInterrupt):
        attempt(KeyboardInterrupt())
    assert len(set(folders)) == 2
    assert all(folder.startswith(f"{tmp_path}/shared/run-") for folder in folders)
    assert not list((tmp_path / "shared").iterdir())


def test_what_a_killed_attempt_left_goes(task, tmp_path):
    killed, another = tmp_path / "shared/run-0a1b2c3d", tmp_path / "shared/run2-0a1b2c3d"
    for folder in (killed, another):
        (folder / "0").mkdir(parents=True)
        (folder / "0/a").write_text("1")
    with shared_folder.task_folder(f"{tmp_path}/shared", task):
        assert not killed.exists()
    assert (another / "0/a").exists()

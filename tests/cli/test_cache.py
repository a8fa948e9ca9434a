import json
import os
import shutil

import numpy as np
import pytest
from killed import killed_at
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import exit_codes
from cxr.core.errors import UsageError
from cxr.pipeline.workspace import feature_cache_of
from cxr.trainer.feature_cache import shards
from cxr.trainer.feature_cache.store import FEATURES, GroupInfo, Store, files_in


def cache(*arguments):
    return CliRunner().invoke(app, ["cache", *arguments])


@pytest.fixture
def workspace(tmp_path):
    """Features of two backbones; those of MobileNet were used ten days ago."""
    store = Store(feature_cache_of(tmp_path), 10**9)
    for backbone, images in (("MobileNet", 400), ("DenseNet201", 1200)):
        keys = [shards.key(b"%d" % number) for number in range(images)]
        store.group(backbone, GroupInfo(kind=FEATURES, backbone=backbone, image_size=32)).add(keys, np.zeros((images, 1000), np.float32))
    for one in files_in(feature_cache_of(tmp_path)):
        if "MobileNet" in str(one.file):
            os.utime(one.file, (one.used - 10 * 86400,) * 2)
    return tmp_path


@pytest.mark.parametrize("given", [["--workspace", "W"], ["--folder", "F"], ["--json"]])
def test_options_that_prune_would_not_heed_are_refused_and_nothing_goes(workspace, given, monkeypatch):
    monkeypatch.chdir(workspace)
    (workspace / "workspace").symlink_to(workspace)
    error = cache(*given, "prune", "--all").exception
    assert isinstance(error, UsageError)
    assert f"{given[0]} stands before prune" in str(error)
    assert kept(workspace) == ["DenseNet201", "MobileNet"]


def kept(workspace):
    return [json.loads(line)["backbone"] for line in cache("--workspace", str(workspace), "--json").stdout.splitlines()]


def test_show(workspace):
    text = cache("--workspace", str(workspace)).stdout
    assert "1,200" in text
    assert "4.8 MB" in text
    assert "6.4 MB" in text  # all of it
    first, second = (json.loads(line) for line in cache("--workspace", str(workspace), "--json").stdout.splitlines())
    assert (first["backbone"], first["entries"], second["backbone"], second["entries"]) == ("DenseNet201", 1200, "MobileNet", 400)
    empty = cache("--workspace", str(workspace / ".cache"))
    assert (empty.exit_code, empty.stdout) == (exit_codes.OK, "")
    assert "no features are kept" in empty.stderr


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--older-than", "9"], ["DenseNet201"]),
        (["--older-than", "11"], ["DenseNet201", "MobileNet"]),
        (["--max-gigabytes", "0.005"], ["DenseNet201"]),
        (["--max-gigabytes", "1"], ["DenseNet201", "MobileNet"]),
        (["--all"], []),
    ],
)
def test_prune(workspace, arguments, left):
    result = cache("prune", "--workspace", str(workspace), *arguments)
    assert result.exit_code == exit_codes.OK, result.exception
    assert kept(workspace) == left
    assert ("removed 0.0 MB in 0 files" in result.stdout) == (len(left) == 2)


def test_what_goes_must_be_said(workspace):
    assert "say what goes" in str(cache("prune", "--workspace", str(workspace)).exception)
    assert isinstance(cache("--folder", str(workspace / "nowhere")).exception, UsageError)
    assert isinstance(cache("--workspace", str(workspace / "nowhere")).exception, UsageError)


@pytest.mark.seconds
def test_a_prune_that_is_killed_at_any_moment_leaves_whole_rows(workspace):
    keys = [shards.key(b"%d" % number) for number in range(1200)]
    about = GroupInfo(kind=FEATURES, backbone="DenseNet201", image_size=32)

    def found(backbone):
        store = Store(feature_cache_of(workspace), 10**9)
        rows, there = store.group(backbone, about).read(keys, 1000)
        assert store.notes == []
        return int(there.sum())

    before = workspace.with_name("before")
    shutil.copytree(workspace, before)
    seen, step = set(), 0
    while killed_at(step, lambda: cache("prune", "--workspace", str(workspace), "--all")):
        seen.add((found("MobileNet"), found("DenseNet201")))
        assert cache("prune", "--workspace", str(workspace), "--all").exit_code == exit_codes.OK
        assert not list(files_in(feature_cache_of(workspace)))
        shutil.rmtree(workspace)
        shutil.copytree(before, workspace)
        step += 1
    assert seen == {(400, 1200), (0, 1200), (0, 0)}

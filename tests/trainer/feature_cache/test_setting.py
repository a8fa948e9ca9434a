from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.trainer.feature_cache.setting import ENVIRONMENT, Place, Setting, place_of, told


def test_where_a_setting_keeps_features():
    assert place_of(None, Path("/w")).folder is None
    assert place_of(Setting(), Path("/w")) == Place(folder=Path("/w"))
    assert place_of(Setting(folder=Path("/f"), max_gigabytes=0.5), Path("/w")).max_bytes == 500_000_000
    assert place_of(Setting(), None).folder is None  # on Kubeflow


def test_the_file_of_the_run_counts_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    file = tmp_path / "feature_cache.json"
    assert told(None).folder is None
    assert told(str(file)).folder is None
    monkeypatch.setenv(ENVIRONMENT, Place(folder=Path("/mnt/features")).model_dump_json())
    assert told(None).folder == Path("/mnt/features")
    Place(folder=None).write(file)  # switched off
    assert told(str(file)).folder is None
    file.write_text("{")
    with pytest.raises(CxrError, match="the next run writes it anew"):
        told(str(file))


def test_a_variable_that_nobody_here_made_is_named(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, '{"folder": "/f", "max_gigabytes": "many"}')
    with pytest.raises(CxrError, match=f"{ENVIRONMENT}: max_gigabytes: .*; unset it"):
        told(None)

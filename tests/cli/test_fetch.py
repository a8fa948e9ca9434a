import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxr.cli import fetch
from cxr.cli.main import app
from cxr.core.errors import CxrError, UsageError
from cxr.data.fetch import catalogue


def called(*arguments):
    return CliRunner().invoke(app, ["fetch", *map(str, arguments)])


def refused(*arguments):
    result = called(*arguments)
    assert isinstance(result.exception, UsageError)
    return str(result.exception)


@pytest.fixture
def kaggle_folder(tmp_path):
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "downloaded" / "train" / label).mkdir(parents=True)
        stream = io.BytesIO()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "png")
        (tmp_path / "downloaded" / "train" / label / "DOE-JOHN.png").write_bytes(stream.getvalue())
    return tmp_path / "downloaded"


def test_what_a_conversion_prints(kaggle_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = called("kaggle-covid", "xrays", "--from", kaggle_folder)
    assert result.exit_code == 0, result.exception
    lines = result.output.splitlines()
    assert "licence: none stated (2 images)" in lines
    assert any(line.startswith("terms: normal images: CC BY 4.0 (Kermany et al. 2018)") for line in lines)
    assert any(line.startswith("note: its folder PNEUMONIA holds, for the most part, COVID-19 images") for line in lines)
    assert lines[-2:] == ["manifest: xrays/manifest.csv", "next: cxr ingest xrays records --classes pneumonia,normal"]
    assert "DOE" not in result.output
    assert called("kaggle-covid", "xrays", "--from", kaggle_folder).output == result.output


def test_the_folder_is_called_as_the_collection(kaggle_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called("kaggle-covid", "--from", kaggle_folder)
    assert (tmp_path / "kaggle-covid" / "manifest.csv").is_file()


def test_what_cannot_be_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'covidx'?); there are ieee8023, kaggle-covid, covidx, nih-subset" in refused("covid-x")
    assert "--per-class: only nih-subset is drawn from" in refused("ieee8023", "--per-class", 3)
    assert "--parts '0-3': the archives are numbered 1 to 12" in refused("nih-subset", "--parts", "0-3")
    assert "--parts 'all': must be numbers and ranges" in refused("nih-subset", "--parts", "all")
    assert "--parts '²': must be numbers and ranges" in refused("nih-subset", "--parts", "²")
    assert "--from nowhere: no such folder or archive" in refused("ieee8023", "--from", "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_numbers():
    assert fetch.numbers(None) is None
    assert fetch.numbers("3, 1-2,12,2") == (1, 2, 3, 12)


def test_a_collection_without_credentials_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    result = called("kaggle-covid", tmp_path / "out")
    assert isinstance(result.exception, CxrError)
    assert "kaggle.json into ~/.kaggle; or download the set in a browser and name it with --from" in str(result.exception)


def test_an_address_that_is_gone_names_the_way_out(tmp_path, monkeypatch):
    broken = dataclasses.replace(catalogue.IEEE8023, files=(catalogue.Remote("tree.json", "nothing://a.org/tree"),))
    monkeypatch.setitem(catalogue.COLLECTIONS, "ieee8023", broken)
    result = called("ieee8023", tmp_path / "out")
    assert isinstance(result.exception, CxrError)
    assert "nothing://a.org/tree: is no address that can be asked" in str(result.exception)

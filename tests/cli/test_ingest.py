import numpy as np
import pytest
from here import cxr
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from cxr.cli import ingest
from cxr.cli.main import app
from cxr.core import exit_codes, features
from cxr.core.errors import CxrError, UsageError


def called(*arguments):
    result = CliRunner().invoke(app, ["ingest", *map(str, arguments)])
    assert isinstance(result.exception, CxrError)
    return str(result.exception)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("listed_twice", "merge", "--listed-twice merge"),
        ("paths_outside", "allow", "--paths-outside allow"),
        ("only_split", "test", "--split test"),
        ("max_reject_share", 0.05, "--max-reject-share 0.05"),
        ("class_names", "[a,b]", "--classes a,b"),
        ("label_conflicts", "drop", "--label-conflicts drop"),
        ("source_priority", "[a,b]", "--source-priority a,b"),
        ("splits", "{train: 0.8}", "`data.splits={train: 0.8}` in a file for --config"),
    ],
)
def test_settings_are_named_as_options(name, value, expected):
    assert ingest.spelled(name, value) == expected


def test_every_option_that_is_named_exists():
    shown = CliRunner().invoke(app, ["ingest", "--help"], env={"COLUMNS": "200"}).output
    names = "only_split listed_twice paths_outside max_reject_share class_names near_duplicates label_conflicts source_priority"
    for name in names.split():
        assert ingest.spelled(name, "").split()[0] in shown


def test_errors_name_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text("image,label\na.png,covid19\nb.png,pneumonia\nSECRET.png,normal\n./SECRET.png,normal\n")
    for name in ("a", "b", "SECRET"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    text = called("m.csv", "out/records")
    assert "set --listed-twice merge" in text
    assert "SECRET" not in text
    assert "--max-reject-share 1.5: Input should be" in called("m.csv", "out/records", "--max-reject-share", "1.5")
    assert "gs://bucket: is no path of this machine" in called("gs://bucket", "out/records")
    assert "OUT out [1]/records: TFX reads files by patterns" in called("m.csv", "out [1]/records")


@pytest.mark.seconds
def test_the_key_lies_in_the_workspace_and_is_spoken_of(tmp_path, monkeypatch):
    from cxr.data.demo.generate import make_demo_data

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CXR_PSEUDONYM_KEY_FILE", raising=False)
    monkeypatch.setenv("CXR_WORKSPACE", "w")
    make_demo_data(tmp_path / "source", images=30, image_size=32, seed=5, console=Console(quiet=True))
    first = CliRunner().invoke(app, ["ingest", "source", "records"])
    assert first.exit_code == exit_codes.OK, first.exception
    assert "w/pseudonym.key is new: the key of the patients' pseudonyms; keep it" in first.output
    again = CliRunner().invoke(app, ["ingest", "source", "records"])
    assert "up to date" in again.output
    assert "is new" not in again.output
    assert "typo.key; name that key" in called("source", "records", "--key-file", "typo.key")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records", "source", "typo.key", "w"]


def test_a_label_conflict_has_its_exit_code(tmp_path, capfd, monkeypatch):
    tree = tmp_path / "xrays"
    for name in features.CLASS_NAMES:
        (tree / name).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16)).astype(np.uint8)
    picture = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC)
    picture.save(tree / "covid19" / "SECRET.png")
    picture.resize((96, 96)).save(tree / "pneumonia" / "SECRET2.jpg")
    picture.transpose(Image.Transpose.ROTATE_90).save(tree / "normal" / "other.png")
    monkeypatch.chdir(tmp_path)
    found = cxr(capfd, "ingest", "xrays", "records")
    assert found.returncode == exit_codes.FAILED
    assert "1 radiograph stands under several labels" in found.stderr
    assert "--label-conflicts drop" in found.stderr
    assert "--label-conflicts keep_by_source with --source-priority" in found.stderr
    assert "SECRET" not in found.stderr + found.stdout
    assert sorted(path.name for path in (tmp_path / "records.private").iterdir()) == ["problems.csv", "staged"]
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--label-conflicts", "keep_by_source"], "--source-priority: belongs to `label_conflicts: keep_by_source`; set both or neither"),
        (["--classes", "a,a"], "--classes: every class needs a name of its own"),
        (["--where", "hospital=3"], "where hospital=3: m.csv has no such column"),
        (["--where", "view=PA", "--where", "view=AP"], "--where: names a column twice, and a row has one value of it"),
    ],
)
def test_what_is_wrong_is_said_of_the_option(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text("image,label\na.png,covid19\n")
    result = CliRunner().invoke(app, ["ingest", "m.csv", "records", *arguments])
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert "Value error" not in str(result.exception)


def test_a_policy_that_cannot_be_is_a_usage_error():
    with pytest.raises(UsageError):
        ingest._options(None, None, None, None, {"label_conflicts": "keep_by_source"})
    assert "--source-priority: belongs to" in called("m.csv", "records", "--label-conflicts", "keep_by_source")
    assert "are found only where" in called("m.csv", "records", "--label-conflicts", "drop", "--near-duplicates", "ignore")

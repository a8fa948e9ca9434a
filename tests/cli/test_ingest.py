import pytest
from typer.testing import CliRunner

from cxr.cli import ingest
from cxr.cli.main import app
from cxr.core.errors import CxrError


def called(*arguments):
    result = CliRunner().invoke(app, ["ingest", *map(str, arguments)])
    assert isinstance(result.exception, CxrError)
    return str(result.exception)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("listed_twice", "merge", "--listed-twice merge"),
        ("paths_outside", "allow", "--paths-outside allow"),
        ("max_reject_share", 0.05, "--max-reject-share 0.05"),
        ("class_names", "[a,b]", "--classes a,b"),
        ("label_conflicts", "drop", "--label-conflicts drop"),
        ("source_priority", "[a,b]", "--source-priority a,b"),
        ("splits", "{train: 0.8}", "`data.splits={train: 0.8}` in a file for --config"),
    ],
)
def test_settings_are_named_as_options(name, value, expected):
    assert ingest._spelled(name, value) == expected


def test_every_option_that_is_named_exists():
    shown = CliRunner().invoke(app, ["ingest", "--help"], env={"COLUMNS": "200"}).output
    names = "listed_twice paths_outside max_reject_share class_names near_duplicates label_conflicts source_priority"
    for name in names.split():
        assert ingest._spelled(name, "").split()[0] in shown


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

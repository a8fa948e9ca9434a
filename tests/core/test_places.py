"""Names of places have one home."""

import ast
from pathlib import Path

import pytest

from cxr.core import places

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("core", "data", "trainer", "serving", "components", "pipeline", "kubeflow", "cli", "benchmarks")
SCRIPTS = {"benchmarks/plain_keras.py", "benchmarks/bench/rows/ingest.py"}  # stand for scripts that know nothing of this project


@pytest.mark.parametrize(
    ("name", "home"),
    [
        *((name, "core/places.py") for name in (places.RECORDS_SUFFIX, places.SERVING, places.SAVED_MODEL)),
        *(
            (name, "core/places.py")
            for name in ("Split-", *(pattern.partition("/")[2] for pattern in (places.STATISTICS, places.ANOMALIES)))
        ),
        ("Format-Keras", "trainer/artifact.py"),
    ],
)
def test_nobody_spells_a_place_again(name, home):
    found = {
        str(file.relative_to(ROOT))
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if name in (text := file.read_text())
        for node in ast.walk(ast.parse(text))
        # sentences, of help and docstrings, may say it
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and name in node.value and not any(map(str.isspace, node.value))
    }
    assert found - SCRIPTS == {home}


def test_the_statistics_of_an_artifact(tmp_path):
    for split in ("val", "train"):
        (tmp_path / f"Split-{split}").mkdir()
        (tmp_path / f"Split-{split}" / "FeatureStats.pb").write_bytes(b"")
    (tmp_path / "Split-test").mkdir()
    found = places.by_split(tmp_path, places.STATISTICS)
    assert list(found) == ["train", "val"]
    assert found["val"] == tmp_path / "Split-val" / "FeatureStats.pb"
    assert places.by_split(tmp_path / "none", places.STATISTICS) == {}
    assert places.by_split(tmp_path, places.SPLITS) == {split: places.split_folder(tmp_path, split) for split in ("test", "train", "val")}


def test_records_are_found_by_their_pattern(tmp_path):
    (tmp_path / "examples-00000-of-00001.tfrecord.gz").write_bytes(b"")
    assert [str(file) for file in Path("/").glob(places.records_in(str(tmp_path)).removeprefix("/"))] == [
        f"{tmp_path}/examples-00000-of-00001.tfrecord.gz"
    ]

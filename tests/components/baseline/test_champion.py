import json
import subprocess
import sys

import pytest

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import PushRecord
from cxr.core.errors import CxrError

PROCESSES, ROUNDS = 6, 8

# A pod whose process id is 1, as that of every container's first process.
POD = """
import os, sys
from pathlib import Path
os.getpid = lambda: 1
from cxr.components.baseline import champion
models, rounds = Path(sys.argv[1]), int(sys.argv[2])
"""
WRITER = (
    POD
    + """
refused = 0
for _ in range(rounds):
    while True:
        before = champion.read(models / champion.POINTER)
        after = str(int(before.version) + 1)
        try:
            with champion.locked(models) as pointer:
                pointer.require(before.version)
                (models / after).mkdir()  # a version that is there already would be one pushed twice
                (models / after / "saved_model.pb").touch()
                pointer.write(after, "f", "minio://b/model", expected=before.version)
            break
        except champion.ChampionChangedError:
            refused += 1
print(refused)
"""
)
# Writes with a champion that stays the same: the file is replaced all the time.
REPLACER = (
    POD
    + """
for number in range(rounds):
    with champion.locked(models) as pointer:
        pointer.write("17", str(number) * 1000, "minio://b/model", expected="17")
"""
)
READER = (
    POD
    + """
for _ in range(20 * rounds):
    assert champion.read(models / champion.POINTER).version == "17"
"""
)


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "serving_models/mobilenet"
    (folder / "17/variables").mkdir(parents=True)
    (folder / "17/saved_model.pb").write_text("graph")
    (folder / "17/variables/v").write_text("1")
    return folder


def update_champion(models, version="17", expected=None):
    (models / version).mkdir(exist_ok=True)
    (models / version / "saved_model.pb").touch()
    with champion.locked(models) as pointer:
        pointer.write(version, champion.fingerprint(models / version), "minio://b/run/model", expected=expected)


def run_together(*scripts, models):
    """Starts all scripts at once; returns what they print."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(models), str(ROUNDS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for script in scripts
    ]
    done = [process.communicate() for process in started]
    assert not any(process.returncode for process in started), "\n".join(stderr for _, stderr in done)
    return [stdout for stdout, _ in done]


def test_no_write_of_many_pods_with_the_same_process_id_is_lost(models):
    update_champion(models)
    run_together(*[WRITER] * PROCESSES, models=models)
    last = champion.read(models / "champion.json")
    assert last is not None
    assert last.version == str(17 + PROCESSES * ROUNDS)
    assert {file.name for file in models.iterdir() if not file.name.isdecimal()} == {champion.POINTER, champion.LOCK}


def test_no_reader_sees_half_a_pointer(models):
    update_champion(models)
    run_together(*[REPLACER] * 4, *[READER] * 2, models=models)


def test_a_run_that_was_compared_with_an_earlier_champion_replaces_none(models):
    update_champion(models, "17")
    update_champion(models, "18", expected="17")
    with pytest.raises(champion.ChampionChangedError, match="compared with version 17, but the champion is version 18"):
        update_champion(models, "19", expected="17")
    with pytest.raises(champion.ChampionChangedError, match="compared with no champion"):
        update_champion(models, "19", expected=None)
    kept = champion.read(models / "champion.json")
    assert kept is not None
    assert kept.version == "18"


def test_the_lock_ends_with_its_holder(models):
    code = POD + "with champion.locked(models):\n    os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(models), "1"], check=False).returncode == 9
    with champion.locked(models, timeout=0):
        pass


def test_a_lock_that_is_held_too_long_is_named(models):
    with champion.locked(models), pytest.raises(CxrError, match=champion.LOCK), champion.locked(models, timeout=0.1):
        pass


def test_the_pointer_knows_neither_kubeflow_nor_tfx():
    code = "import sys, cxr.components.baseline.champion; sys.exit(bool({'kfp', 'tfx', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_pointer_names_the_version_relative_to_itself(models, tmp_path):
    update_champion(models)
    assert set(json.loads((models / "champion.json").read_text())) == {"version", "fingerprint", "source", "pushed_at"}
    moved = models.rename(tmp_path / "elsewhere")  # the volume may be mounted anywhere
    found = champion.read(moved / "champion.json")
    assert found is not None
    assert found.folder == moved / "17"


def test_before_the_first_push_there_is_no_champion(models):
    assert champion.read(models / "champion.json") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"not a champion pointer \(its field 'version' is missing\); write it anew"),
        ("{", r"not a champion pointer \(no JSON\)"),
        ("[" * 100_000, r"not a champion pointer \(no JSON\)"),
        ("[]", r"not a champion pointer \(no JSON object\)"),
        ('{"version": 17, "fingerprint": "f", "source": "s", "pushed_at": "t"}', r"\(its field 'version' is no text\)"),
        ('{"version": "17", "fingerprint": 1, "source": "s", "pushed_at": "t"}', r"\(its field 'fingerprint' is no text\)"),
        ('{"version": "../17", "fingerprint": "f", "source": "s", "pushed_at": "t"}', r"\(its field 'version' is no number\)"),
        ('{"version": "99", "fingerprint": "f", "source": "s", "pushed_at": "t"}', "version 99, which is gone"),
    ],
)
def test_a_damaged_pointer_and_a_missing_version_are_named(models, text, message):
    (models / "champion.json").write_text(text)
    with pytest.raises(CxrError, match=message):
        champion.read(models / "champion.json")


def test_a_push_tells_what_a_pointer_says():
    """The remedy for a damaged one."""
    assert {"version", "fingerprint", "source", "pushed_at"} <= PushRecord.model_fields.keys()


def test_the_fingerprint_knows_names_and_contents(models):
    first = champion.fingerprint(models / "17")
    (models / "17/variables/v").write_text("2")
    second = champion.fingerprint(models / "17")
    (models / "17/variables/v").rename(models / "17/variables/w")
    assert len({first, second, champion.fingerprint(models / "17")}) == 3

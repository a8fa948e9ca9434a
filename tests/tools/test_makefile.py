"""The Makefile's help, and the wheel that it builds."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "data", "trainer", "serving", "components", "pipeline", "kubeflow", "cli")


def test_help_explains_every_target():
    targets = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    text = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    explained = dict(re.findall(r"^  ([a-z-]+) {2,}(\S.*)$", text, flags=re.MULTILINE))
    assert {"setup", "run", "test", "lint", "clean"} <= set(targets)
    assert set(targets) == set(explained)


@pytest.mark.parametrize(("given", "command"), [("GPU=1", "tools/setup.sh gpu"), ("GPU=0", "tools/setup.sh"), ("GPU=", "tools/setup.sh")])
def test_setup_has_cudas_libraries_only_where_they_are_asked_for(given, command):
    asked = ["make", "--no-print-directory", "-n", "setup", given]
    assert subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], 'cxr run --config "demo"'),
        (["CONFIG=cpu", "DATA=my images", "ARGS=seed=3"], 'cxr run --config "cpu" --data "my images" seed=3'),
    ],
)
def test_run_passes_its_variables_on(arguments, expected):
    dry = subprocess.run(["make", "-n", "run", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert expected in re.sub(r" +", " ", dry)


@pytest.mark.parametrize("key", ["", "1"])
def test_runs_go_and_the_key_stays_unless_asked_for(tmp_path, key):
    shutil.copy2(ROOT / "Makefile", tmp_path)
    (tmp_path / "workspace" / "demo").mkdir(parents=True)
    (tmp_path / "workspace" / "pseudonym.key").write_text("k")
    told = subprocess.run(["make", "clean-runs", f"KEY={key}"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "  demo\n" in told
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == (["Makefile"] if key else ["Makefile", "workspace", "workspace/pseudonym.key"])
    assert ("kept: workspace/pseudonym.key" in told) == (not key)


def test_runs_in_a_workspace_that_is_a_link_go_too(tmp_path):
    """It often lies on another disk."""
    shutil.copy2(ROOT / "Makefile", tmp_path)
    (tmp_path / "disk" / "demo").mkdir(parents=True)
    (tmp_path / "workspace").symlink_to("disk")
    subprocess.run(["make", "clean-runs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.slow
def test_wheel_holds_modules_and_data_under_their_import_names(tmp_path):
    source = tmp_path / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    said = subprocess.run(build, check=True, capture_output=True, text=True)
    assert said.stdout + said.stderr == ""  # set-up would show it
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("cxr_pipeline-")}
    files = {f"cxr/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert held == {name for name in files if "__pycache__" not in name}

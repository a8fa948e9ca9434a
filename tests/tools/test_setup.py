"""tools/setup.sh: what it finds, what it says, and what it does again. The real installation is what every test here runs in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Stands in for the slow steps in `main`; everything around them is the script's own.
STEPS = """
source tools/setup.sh
check_platform() { :; }
make_interpreter() { echo interpreter; mkdir -p .venv/bin; touch "$OURS"; ln -s "$(type -P true)" .venv/bin/python; }
install_packages() { echo packages; [ ! -e fail ]; }
install_project() { echo project; }
main "$@"
"""


def bash(script: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", script, "setup.sh", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def command(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "a check out"
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    return folder


@pytest.mark.parametrize(
    ("version", "needed"),
    [("2.31", True), ("2.36", True), ("2.38", True), ("2.39", False), ("2.41", False), ("2.100", False), ("3.0", False)],
)
def test_only_older_c_libraries_are_replaced(version, needed):
    assert bash('source tools/setup.sh; needs_newer_glibc "$1"', version).returncode == (0 if needed else 1)


@pytest.mark.parametrize(("version", "copies"), [("2.36", True), ("2.41", False)])
def test_newer_systems_get_a_plain_environment(checkout, version, copies):
    command(checkout / "fake", "getconf", f"echo glibc {version}")
    command(
        checkout / "fake",
        "python3.11",
        'echo "$@" >>calls; for last; do :; done\n[ "$2" != venv ] || { mkdir -p "$last/bin"; cp fake/python3.11 "$last/bin/python"; }',
    )
    script = 'source tools/setup.sh; find_python() { echo "$PWD/fake/python3.11"; }; mkdir .cache; make_interpreter "$(glibc_version)"'
    result = bash(script, cwd=checkout, PATH=f"{checkout / 'fake'}:{os.environ['PATH']}")
    assert result.returncode == 0, result.stderr
    calls = (checkout / "calls").read_text()
    assert ("-m venv --copies" in calls) == copies
    assert ("tools/newer_glibc.py .venv" in calls) == copies


def test_c_library_other_than_glibc_is_refused(checkout):
    command(checkout / "fake", "getconf", "exit 1")
    result = bash("tools/setup.sh", cwd=checkout, PATH=f"{checkout / 'fake'}:{os.environ['PATH']}")
    assert result.returncode == 1
    assert "not glibc" in result.stderr
    assert "Remedy" in result.stderr


def test_other_processors_are_refused(checkout):
    command(checkout / "fake", "uname", '[ "$1" = -m ] && echo aarch64 || echo Linux')
    result = bash("tools/setup.sh", cwd=checkout, PATH=f"{checkout / 'fake'}:{os.environ['PATH']}")
    assert result.returncode == 1
    assert "Linux on aarch64" in result.stderr
    assert "Remedy" in result.stderr
    assert not (checkout / ".venv").exists()


def test_missing_python_is_named_with_its_remedy(checkout):
    tools = checkout / "fake"
    tools.mkdir()
    for name in [
        "bash",
        "cat",
        "cut",
        "dirname",
        "flock",
        "getconf",
        "grep",
        "head",
        "mkdir",
        "mv",
        "rm",
        "sha256sum",
        "sort",
        "touch",
        "uname",
    ]:
        (tools / name).symlink_to(shutil.which(name))
    command(tools, "python3", "echo a shim that starts nothing >&2; exit 127")
    result = bash(
        "tools/setup.sh", cwd=checkout, PATH=str(tools), HOME=str(checkout), PYENV_ROOT=str(checkout), XDG_DATA_HOME=str(checkout)
    )
    assert result.returncode == 1
    assert "Python 3.11 is missing" in result.stderr
    assert "python3.11-venv" in result.stderr
    assert "PYTHON=" in result.stderr


def test_python_without_venv_is_named(checkout):
    command(checkout / "fake", "python3.11", 'case "$2" in *ensurepip*) exit 1;; esac; echo "$0"')
    result = bash("source tools/setup.sh; find_python", cwd=checkout, PYTHON=str(checkout / "fake/python3.11"))
    assert result.returncode == 1
    assert "without its modules venv and ensurepip" in result.stderr
    assert "Remedy" in result.stderr


def test_wrong_python_is_named():
    result = bash("source tools/setup.sh; find_python", PYTHON="/nowhere/python3.11")
    assert result.returncode == 1
    assert "PYTHON=/nowhere/python3.11 is no Python 3.11" in result.stderr


def test_unknown_argument(checkout):
    result = bash("tools/setup.sh tpu", cwd=checkout)
    assert result.returncode == 1
    assert "unknown argument 'tpu'" in result.stderr


class TestRepeatedCalls:
    def steps(self, checkout, *arguments):
        result = bash(STEPS, *arguments, cwd=checkout)
        return result.returncode, result.stdout.split()

    def test_second_call_does_nothing(self, checkout):
        assert self.steps(checkout) == (0, ["interpreter", "packages", "project"])
        assert self.steps(checkout) == (0, [])

    def test_new_modules_need_no_set_up(self, checkout):
        self.steps(checkout)
        (checkout / "trainer").mkdir()
        (checkout / "trainer/new.py").touch()
        assert self.steps(checkout) == (0, [])

    @pytest.mark.parametrize("name", ["requirements/dev.lock", "pyproject.toml", "setup.py"])
    def test_changed_input_is_brought_up_to_date_in_place(self, checkout, name):
        self.steps(checkout)
        with (checkout / name).open("a") as file:
            file.write("# changed\n")
        assert self.steps(checkout) == (0, ["packages", "project"])

    @pytest.mark.parametrize("name", ["requirements/bootstrap.lock", "tools/newer_glibc.py"])
    def test_changed_foundation_is_laid_anew(self, checkout, name):
        self.steps(checkout)
        with (checkout / name).open("a") as file:
            file.write("# changed\n")
        assert self.steps(checkout) == (0, ["interpreter", "packages", "project"])

    def test_broken_off_call_is_started_over(self, checkout):
        (checkout / "fail").touch()
        assert self.steps(checkout) == (1, ["interpreter", "packages"])
        (checkout / "fail").unlink()
        assert self.steps(checkout) == (0, ["interpreter", "packages", "project"])

    def test_moved_checkout_is_started_over(self, checkout):
        self.steps(checkout)
        moved = checkout.rename(checkout.with_name("moved"))
        assert self.steps(moved) == (0, ["interpreter", "packages", "project"])

    def test_interpreter_that_no_longer_starts_is_started_over(self, checkout):
        self.steps(checkout)
        (checkout / ".venv/bin/python").unlink()
        assert self.steps(checkout) == (0, ["interpreter", "packages", "project"])

    def test_gpu_environment_stays_one(self, checkout):
        self.steps(checkout)
        assert self.steps(checkout, "gpu") == (0, ["packages", "project"])
        assert self.steps(checkout) == (0, [])

    def test_environment_made_by_others_is_left_alone(self, checkout):
        (checkout / ".venv").mkdir()
        (checkout / ".venv/theirs").touch()
        result = bash(STEPS, cwd=checkout)
        assert result.returncode == 1
        assert "was not made by 'make setup'" in result.stderr
        assert (checkout / ".venv/theirs").exists()

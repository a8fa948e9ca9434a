"""What can be said of the image without a container engine."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/image/Dockerfile").read_text()


def test_the_targets_exist():
    assert {"cpu", "gpu", "serving"} <= set(re.findall(r"^FROM .+ AS (\S+)$", DOCKERFILE, re.MULTILINE))


def test_dependencies_come_from_the_locks_with_hashes():
    installs = [line for line in DOCKERFILE.splitlines() if "pip install" in line and ".lock" in line]
    assert len(installs) == 3
    assert all("--require-hashes" in line for line in installs)
    for lock in re.findall(r"-r (requirements/\S+)", DOCKERFILE):
        assert (ROOT / lock).is_file()


def test_the_user_is_a_number_other_than_root():
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0


def test_the_context_holds_what_the_wheel_needs_and_nothing_else():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    allowed = {line.removeprefix("!").rstrip("/") for line in ignored if line.startswith("!")}
    assert allowed == {
        "cli",
        "components",
        "core",
        "data",
        "kubeflow",
        "pipeline",
        "requirements",
        "serving",
        "trainer",
        "pyproject.toml",
        "setup.py",
        "README.md",
    }
    assert all((ROOT / name).exists() for name in allowed)

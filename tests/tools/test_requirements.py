"""The lock files: complete, pinned, hashed, consistent with each other, and free of addresses."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("run", "dev", "gpu", "bootstrap", "fuzz")


def read(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.lock").read_text()


def versions(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", read(lock), flags=re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_and_hashed(lock):
    entries = re.split(r"^(?=[A-Za-z0-9])", re.sub(r"^\s*#.*\n", "", read(lock), flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==\S+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_and_no_path(lock):
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host| @ |/(home|root|opt|tmp)/", read(lock))


@pytest.mark.parametrize("lock", ["dev", "gpu"])
def test_larger_locks_hold_the_smaller_one(lock):
    assert versions("run").items() <= versions(lock).items()


@pytest.mark.seconds
def test_locks_installed_together_agree():
    for lock in ("bootstrap", "gpu"):
        shared = versions(lock).keys() & versions("dev").keys()
        assert {name: versions(lock)[name] for name in shared} == {name: versions("dev")[name] for name in shared}


def test_direct_dependencies_are_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for lock, wanted in {
        "run": [*project["dependencies"], *extras["kfp"], *extras["dicom"]],
        "dev": extras["dev"],
        "gpu": extras["gpu"],
    }.items():
        for requirement in wanted:
            match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?(?:==(\S+))?", requirement)
            assert match is not None, requirement
            name = match[1].lower().replace("_", "-")
            assert name in versions(lock), f"{name} is not in {lock}.lock: call 'make lock'"
            assert match[2] in (None, versions(lock)[name]), f"{name} in {lock}.lock is {versions(lock)[name]}: call 'make lock'"

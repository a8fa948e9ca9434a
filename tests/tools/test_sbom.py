"""What `make sbom` says is in the images, and what `make audit` does where nobody knows."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.seconds
def test_the_sbom_has_every_locked_package_with_its_hashes(tmp_path):
    for name in ("pyproject.toml", "requirements", "tools"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(["tools/sbom.sh", "--no-validate"], cwd=tmp_path, check=True, capture_output=True)
    for image, lock in (("cpu", "run"), ("gpu", "gpu")):
        text = (tmp_path / "build" / "sbom" / f"{image}.cdx.json").read_text()
        found = json.loads(text)
        locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "requirements" / f"{lock}.lock").read_text(), re.MULTILINE))
        assert {part["name"]: part["version"] for part in found["components"]} == locked
        assert all("sha256:" in part["description"] for part in found["components"])
        assert found["metadata"]["component"]["name"] == "cxr-pipeline"
        assert str(ROOT) not in text
        assert str(tmp_path) not in text


def test_an_audit_that_could_look_nothing_up_fails(tmp_path):
    """pip-audit itself takes an index without advisories for one without findings."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "audit.sh", tmp_path / "tools")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    tool = tmp_path / ".venv" / "bin" / "pip-audit"
    tool.write_text('#!/bin/sh\nfor option; do [ "$option" = --strict ] && exit 1; done\nexit 0\n')
    tool.chmod(0o755)
    done = subprocess.run(["tools/audit.sh"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.findall(r"=== requirements/(\w+).lock", done.stdout) == ["dev", "gpu", "bootstrap", "fuzz"]
    assert "could not be looked up" in done.stderr

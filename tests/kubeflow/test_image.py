"""What can be said of the image without a container engine."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/image/Dockerfile").read_text()


def test_the_targets_exist():
    assert {"cpu", "gpu", "serving", "worker"} <= set(re.findall(r"^FROM .+ AS (\S+)$", DOCKERFILE, re.MULTILINE))


def stage(target):
    """Text of one target's instructions."""
    found = re.search(rf"^FROM \S+ AS {target}$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found is not None, target
    return found[1]


def test_beams_workers_start_through_its_boot_of_the_same_version():
    """What Beam's own images do (sdks/python/container/Dockerfile); the user cannot write where boot would make its environments."""
    from cxr.kubeflow.beam_engines import BOOT

    assert f'ENTRYPOINT ["{BOOT}"]' in stage("worker")
    assert re.search(rf"^COPY --from=beam .*{BOOT} ", stage("worker"), re.MULTILINE)
    assert "ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in stage("worker")
    ((python, version),) = re.findall(r"^ARG BEAM=\S+/beam_python(\S+)_sdk:(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.search(rf"^apache-beam=={re.escape(version)} ", (ROOT / "requirements/run.lock").read_text(), re.MULTILINE)
    assert re.search(rf"^ARG PYTHON=\S+:{re.escape(python)}-", DOCKERFILE, re.MULTILINE)


def test_python_on_path_is_the_one_with_the_packages():
    """Beam's boot and its worker pool start `python`; the base image's own has no apache_beam."""
    assert re.search(r"^ENV PATH=/opt/cxr/bin:\$PATH\b", stage("base"), re.MULTILINE)
    assert re.search(r"^FROM base AS cpu$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^FROM cpu AS worker$", DOCKERFILE, re.MULTILINE)
    assert "PATH=" not in stage("cpu") + stage("worker")


def test_the_other_targets_have_no_entry_point():
    """KFP's launcher replaces it; `docker run cxr:cpu cxr ingest …` must not reach boot."""
    assert all("ENTRYPOINT" not in stage(target) for target in ("base", "cpu", "gpu", "serving"))


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
        "LICENSE",
    }
    assert all((ROOT / name).exists() for name in allowed)

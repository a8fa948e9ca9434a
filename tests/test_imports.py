"""Holds who imports whom: the table below, which docs/architecture.md draws."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Package: what it imports beside itself. `data.images` is the part of `data` that needs neither Beam nor TensorFlow.
IMPORTS = {
    "core": set(),
    "data": {"core"},
    "trainer": {"core", "data.images"},
    "serving": {"core", "data.images"},
    "components": {"core", "data", "trainer", "serving"},
    "pipeline": {"core", "data", "trainer", "components"},
    "kubeflow": {"core", "components", "pipeline"},
    "cli": {"core", "data", "trainer", "serving", "pipeline", "kubeflow"},
}
# Top-level modules that a package must not load, because it runs where they are not, or where seconds count.
FORBIDDEN = {
    "core": {"tfx", "tensorflow", "keras", "apache_beam", "grpc"},
    "data.images": {"tfx", "tensorflow", "keras", "apache_beam", "grpc"},
    "trainer": {"tfx", "apache_beam", "grpc"},
    "serving": {"tfx", "keras", "tf_keras", "tensorflow_transform", "tensorflow_model_analysis", "apache_beam"},
}


@functools.cache
def _imports(file: Path) -> set[str]:
    """All dotted names a file imports, inside functions too; of `from a import b` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package.replace(".", "/")).rglob("*.py"))


def test_who_imports_whom():
    actual: dict[str, set[str]] = {}
    for package in IMPORTS:
        names = {name.removeprefix("cxr.") for file in _files(package) for name in _imports(file) if name.startswith("cxr.")}
        others = {name for name in names if name.split(".")[0] != package}
        only_images = "data.images" in IMPORTS[package]
        actual[package] = {
            ".".join(name.split(".")[:2]) if only_images and name.startswith("data.") else name.split(".")[0] for name in others
        }
    assert actual == IMPORTS


def test_what_packages_must_not_load():
    for package, forbidden in FORBIDDEN.items():
        for file in _files(package):
            assert not {name.split(".")[0] for name in _imports(file)} & forbidden, file


def test_every_package_stands_in_the_table():
    namespace: dict[str, tuple[str, ...]] = {}
    exec((ROOT / "setup.py").read_text().split("setup(")[0].split("HERE")[0], namespace)  # the constants above the call
    assert set(namespace["FOLDERS"]) == set(IMPORTS)

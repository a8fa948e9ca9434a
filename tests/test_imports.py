"""Holds who imports whom: the table below, which docs/architecture.md draws."""

import ast
import functools
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Package: what it imports beside itself. `data.images` is the part of `data` that needs neither Beam nor TensorFlow,
# `data.example_columns` a module that needs TensorFlow alone.
IMPORTS = {
    "core": set(),
    "data": {"core"},
    "trainer": {"core", "data.images", "data.example_columns"},
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
def _statements(file: Path) -> list[ast.Import | ast.ImportFrom]:
    """Inside functions too."""
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]


@functools.cache
def _imports(file: Path) -> set[str]:
    """All dotted names a file imports; of `from a import b` both a and a.b."""
    found = set()
    for node in _statements(file):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _imported_modules(file: Path, known: Collection[str]) -> set[str]:
    """The modules a file imports, of those that are known; of `from a import b` the module a.b, or else a."""
    found = set()
    for node in _statements(file):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in known else node.module for name in names}
    return found & set(known)


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package.replace(".", "/")).rglob("*.py"))


def test_who_imports_whom():
    actual: dict[str, set[str]] = {}
    for package in IMPORTS:
        names = {name.removeprefix("cxr.") for file in _files(package) for name in _imports(file) if name.startswith("cxr.")}
        others = {name for name in names if name.split(".")[0] != package}
        only_parts = "data" not in IMPORTS[package]
        actual[package] = {
            ".".join(name.split(".")[:2]) if only_parts and name.startswith("data.") else name.split(".")[0] for name in others
        }
    assert actual == IMPORTS


def circles(imports: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The first circle in each package, of its parts: its sub-packages with all that is in them, the modules beside these, its __init__.

    Args:
      imports: Module: modules that it imports, dotted names.
    """
    found = []
    for package in sorted({name.rsplit(".", above)[0] for name in imports for above in range(1, name.count(".") + 1)}):
        parts: dict[str, set[str]] = {}
        for name, imported in imports.items():
            if part := _part(name, package):
                parts.setdefault(part, set()).update({other for one in imported if (other := _part(one, package))} - {part})
        try:
            TopologicalSorter(parts).prepare()
        except CycleError as error:
            found.append([f"{package}.{part}" for part in error.args[1]])
    return found


def _part(name: str, package: str) -> str | None:
    """What of a package a module belongs to; None: it lies outside."""
    below = f"{name}.__init__".removeprefix(f"{package}.")
    return None if below == f"{name}.__init__" else below.split(".")[0]


def test_no_parts_of_a_package_import_each_other_in_a_circle():
    """A node's cache key holds all that its code leads to: in a circle, what the node does not run."""
    files = {
        ".".join(("cxr", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file
        for package in IMPORTS
        for file in _files(package)
    }
    assert circles({name: _imported_modules(file, files) for name, file in files.items()}) == []


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ({"a.b.c": {"a.d.e"}, "a.d.f": {"a.b.g"}, "a.d.e": set(), "a.b.g": set()}, [["a.b", "a.d", "a.b"]]),  # no circle of modules
        ({"a.b.c": {"a.m"}, "a.m": {"a.d.e"}, "a.d.e": {"a.b.f"}, "a.b.f": set()}, [["a.b", "a.m", "a.d", "a.b"]]),  # by a module beside
        ({"a.b.c.d": {"a.b.e"}, "a.b.e": {"a.b.c.f"}, "a.b.c.f": set()}, [["a.b.c", "a.b.e", "a.b.c"]]),  # further down
        ({"a.b": {"a.b.c"}, "a.b.c": {"a.b"}}, [["a.b.__init__", "a.b.c", "a.b.__init__"]]),
        ({"a.b.c": {"a.d.e", "a.b.f"}, "a.d.e": {"a.m"}, "a.b.f": {"a.m"}, "a.m": {"b.c"}, "b.c": set()}, []),
    ],
)
def test_circles_are_seen(imports, expected):
    found = circles(imports)
    assert [set(circle) for circle in found] == [set(circle) for circle in expected]


def test_what_packages_must_not_load():
    for package, forbidden in FORBIDDEN.items():
        for file in _files(package):
            assert not {name.split(".")[0] for name in _imports(file)} & forbidden, file


def test_every_package_stands_in_the_table():
    namespace: dict[str, tuple[str, ...]] = {}
    exec((ROOT / "setup.py").read_text().split("setup(")[0].split("HERE")[0], namespace)  # the constants above the call
    assert set(namespace["FOLDERS"]) == set(IMPORTS)

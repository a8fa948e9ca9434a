"""A fingerprint of the code that one node runs, so that TFX's cache does not outlive a change of it, and survives a change of any other."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path

OURS = "cxr."
FEATURES = ("cxr.trainer.frozen_backbone",)  # no node: what features of frozen backbones are kept under


@functools.cache
def code_version(*entries: str) -> str:
    """Returns a short hash over what a node runs: our modules, and the versions of the libraries that these import.

    Args:
      entries: Modules that the node calls ("cxr.trainer.run_fn"). What they import, and so on, inside functions too, counts with them.
    """
    digest = hashlib.sha256(sys.version.split()[0].encode())
    libraries: set[str] = set()
    for name, file in sorted(modules_of(*entries).items()):
        source = file.read_bytes()
        digest.update(name.encode() + b"\0" + source + b"\0")
        libraries |= {imported.split(".")[0] for imported in _imports(source) if not imported.startswith(OURS)}
    distributions = {name for library in libraries - sys.stdlib_module_names for name in _installed().get(library, ())}
    for name in sorted(distributions):
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    return digest.hexdigest()[:12]


def modules_of(*entries: str) -> dict[str, Path]:
    """Returns the modules of this project that `entries` are or lead to, with their files; nothing is imported but packages."""
    found: dict[str, Path] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found or (file := _file(name)) is None:
            continue
        found[name] = file
        waiting += [imported for imported in _imports(file.read_bytes()) if imported.startswith(OURS)]
    return found


def _file(name: str) -> Path | None:
    """The source of a module; None where the name is none (an imported function or class)."""
    spec = _spec(name)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _spec(name: str) -> ModuleSpec | None:
    parent = name.rpartition(".")[0]
    # To look for a name inside a module that is no package, Python would import that module: TensorFlow, TFX, seconds.
    if parent and ((package := _spec(parent)) is None or package.submodule_search_locations is None):
        return None
    return importlib.util.find_spec(name)


# Nodes share most of their modules.
@functools.cache
def _imports(source: bytes) -> tuple[str, ...]:
    return tuple(_imported(source))


def _imported(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _installed() -> Mapping[str, list[str]]:
    """Returns the distributions of each package. Reading what a hundred of them hold takes half a second."""
    return importlib.metadata.packages_distributions()

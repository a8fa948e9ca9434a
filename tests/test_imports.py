"""Holds the direction of imports that docs/architecture.md states."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "trainer": {"trainer"},
    "serving": {"serving", "trainer"},
    "components": {"components", "trainer", "serving"},
    "pipeline": {"pipeline", "components", "trainer"},
    "kubeflow": {"kubeflow", "pipeline", "components", "trainer"},
}
COMMANDS = set(ALLOWED)  # the command line may reach everything
SERVING_MAY_SHARE = {"cxr.core.features", "cxr.data.images.reader", "cxr.core.errors"}
HEAVY_FOR_SERVING = {"tfx", "keras", "tf_keras", "tensorflow_transform", "tensorflow_model_analysis", "apache_beam"}


def imports(file: Path) -> set[str]:
    """All dotted names a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} if node.module.count(".") > 1 else {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = [file for package in ALLOWED for file in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROOT)) for file in FILES])
def test_imports_flow_one_way(file):
    package = file.relative_to(ROOT).parts[0]
    is_command = "commands" in file.parts or file.name == "cli.py"
    allowed = COMMANDS if is_command else ALLOWED[package]
    ours = {name for name in imports(file) if name.startswith("cxr.")}
    assert {name.split(".")[1] for name in ours} <= allowed
    if package == "serving":
        assert {name for name in ours if not name.startswith("cxr.serving")} == {
            name for name in ours if any(name.startswith(shared) for shared in SERVING_MAY_SHARE)
        }
        assert not {name.split(".")[0] for name in imports(file)} & HEAVY_FOR_SERVING


@pytest.mark.parametrize("name", ["features", "images", "errors"])
def test_what_serving_shares_is_light(name):
    assert not {module.split(".")[0] for module in imports(ROOT / "trainer" / f"{name}.py")} & (HEAVY_FOR_SERVING | {"tensorflow"})

"""Maps the package folders into the one import name `cxr` (docs/architecture.md says why)."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

FOLDERS = ("core", "data", "trainer", "serving", "components", "pipeline", "kubeflow", "cli")
HERE = Path(__file__).parent


def packages(folder: str) -> list[str]:
    """Returns a folder's packages; those of data alone (configurations, templates) too, which setuptools else warns of at length."""
    below = find_namespace_packages(str(HERE / folder), exclude=("__pycache__", "*.__pycache__"))
    return [f"cxr.{folder}", *(f"cxr.{folder}.{name}" for name in below)]


setup(
    packages=[name for folder in FOLDERS for name in packages(folder)],
    package_dir={f"cxr.{folder}": folder for folder in FOLDERS},
    include_package_data=True,
)

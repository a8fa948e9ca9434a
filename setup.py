"""Maps the package folders into the one import name `cxr` (docs/architecture.md says why)."""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = ("core", "data", "trainer", "serving", "components", "pipeline", "kubeflow", "cli")
HERE = Path(__file__).parent

setup(
    packages=[f"cxr.{name}" for folder in FOLDERS for name in (folder, *(f"{folder}.{sub}" for sub in find_packages(str(HERE / folder))))],
    package_dir={f"cxr.{folder}": folder for folder in FOLDERS},
    include_package_data=True,
)

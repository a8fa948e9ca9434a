"""All targets by their names. Each is made when it is asked for: some import TensorFlow, or start the parts of a server."""

from __future__ import annotations

from importlib import import_module

from .harness import Target

TARGETS = {
    "image": "pictures.image_target",
    "dicom": "pictures.dicom_target",
    "mask": "pictures.mask_target",
    "archive": "archives.archive_target",
    "manifest": "texts.manifest_target",
    "configuration": "texts.configuration_target",
    "override": "texts.override_target",
    "models-config": "texts.models_config_target",
    "records": "records.records_target",
    "outside": "records.outside_target",
    "dataset": "records.dataset_target",
    "grpc": "requests.grpc_target",
    "rest": "requests.rest_target",
}


def make_target(name: str) -> Target:
    """Returns a target; KeyError where there is none of that name."""
    module, _, function = TARGETS[name].partition(".")
    target: Target = getattr(import_module(f".{module}", __package__), function)()
    return target

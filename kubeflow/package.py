"""What a run may be started with: a compiled pipeline's parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cxr.components.shortcut_check.judge import read_margin
from cxr.core import yaml_text
from cxr.core.errors import UsageError
from cxr.kubeflow.ir_pass import DATA_TASK
from cxr.kubeflow.parameters import DATA
from cxr.kubeflow.pushing import NO_BASELINE
from cxr.kubeflow.uris import bucket_of, check_place

_MOUNT, _BASELINE = "pvcMount", "baseline_"


def read(package: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Returns the specification of a compiled pipeline, and its parameters by their names.

    Raises:
      UsageError: It is none.
    """
    try:
        spec = yaml_text.parse(package.read_text(encoding="utf-8"), first=True)
        return spec, dict(spec["root"].get("inputDefinitions", {}).get("parameters", {}))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{package}: not a compiled pipeline ({error}); make one with `cxr kubeflow compile`") from error


def checked_parameters(package: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's parameters with their declared types.

    Raises:
      UsageError: A parameter that the pipeline does not have, a value of another type or one that no task could use, or data or a baseline
        that the pipeline's pods could not read.
    """
    spec, definitions = read(package)
    values: dict[str, Any] = {}
    convert = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "STRING": str}
    for name, value in given.items():
        if name not in definitions:
            raise UsageError(f"parameter {name!r}: the pipeline has {', '.join(sorted(definitions))}")
        kind = definitions[name].get("parameterType")
        if kind not in convert:
            raise UsageError(f"parameter {name}: {package} has it as {kind or 'of no type'}; only {', '.join(convert)} can be given")
        try:
            values[name] = convert[kind](value)
        except ValueError:
            raise UsageError(f"parameter {name} = {value!r}: not of type {kind}") from None
    for name, value in values.items():
        _check_value(name, value)
    on_volumes = {name: value for name, value in values.items() if (name == DATA or name.startswith(_BASELINE)) and value.startswith("/")}
    mounts = _mounts(package) if on_volumes else []
    for name, value in on_volumes.items():
        if mounts and not _lies_on(value, mounts):
            raise UsageError(
                f"parameter {name} = {value}: on none of the volumes that the pipeline was compiled with ({', '.join(mounts)})"
            )
    if DATA in values:
        _check_data(spec, str(definitions[DATA].get("defaultValue", "")), values[DATA])
    return values


def _check_value(name: str, value: Any) -> None:
    """Refuses what a task would refuse after those before it had worked for hours (parameters.py has the names)."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"parameter {name} = {value}: not a finite number")
    if re.match(r"(fine_tuning_)?epochs_", name) and value < 1:
        raise UsageError(f"parameter {name} = {value}: at least 1 epoch")
    if name.startswith("min_accuracy_") and not 0 <= value <= 1:
        raise UsageError(f"parameter {name} = {value}: an accuracy lies between 0 and 1")
    if name.startswith("min_change_") and not -1 <= value <= 1:
        raise UsageError(f"parameter {name} = {value}: an accuracy changes by 1 at most, up or down (-0.02: by two hundredths down)")
    if name.startswith("shortcut_margin_"):
        read_margin(value)
    if name == DATA or (name.startswith(_BASELINE) and value not in ("", NO_BASELINE)):
        check_place(value, f"parameter {name} = {value!r}")


def _mounts(package: Path) -> list[str]:
    """Returns where a compiled pipeline's tasks mount volumes; none where it has no document of the platform.

    Raises:
      UsageError: That document is none of ours.
    """
    found: dict[str, None] = {}
    try:
        for text in re.split(r"(?m)^---(?=\s)", package.read_text(encoding="utf-8"))[1:]:
            if _MOUNT in text:
                platforms = yaml_text.parse(text)["platforms"]
                for executor in platforms["kubernetes"]["deploymentSpec"]["executors"].values():
                    found |= {str(mount["mountPath"]): None for mount in executor.get(_MOUNT, [])}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{package}: the platform's document is not as `cxr kubeflow compile` writes it ({error}); compile it again"
        ) from error
    return list(found)


def _lies_on(place: str, mounts: list[str]) -> bool:
    return any(f"{place}/".startswith(f"{mount.rstrip('/')}/") for mount in mounts)


def _check_data(spec: Mapping[str, Any], compiled: str, given: str) -> None:
    """Refuses data that the compiled pipeline has no way, or no credentials, to read (cluster.Cluster has the rule)."""
    if bool(bucket_of(compiled)) != bool(bucket_of(given)):
        kind = "an object store" if bucket_of(compiled) else "a volume"
        raise UsageError(f"parameter {DATA} = {given}: the pipeline was compiled for data on {kind}; compile it again with `data: {given}`")
    root = bucket_of(spec.get("defaultPipelineRoot", ""))
    by_launcher = DATA_TASK in spec["root"]["dag"]["tasks"]
    if by_launcher and bucket_of(compiled) == root != bucket_of(given):
        raise UsageError(
            f"parameter {DATA} = {given}: another bucket than the pipeline root's, which KFP's launcher reads with the pods' environment "
            "instead of its own credentials; compile it again with this `data` and `environment_credentials: true`"
        )

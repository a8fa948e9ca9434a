"""The configuration of one pipeline: a YAML file, typed and immutable, with overrides from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from pydantic import Field, field_validator, model_validator

from cxr.components.drift_check.drift_config import Drift
from cxr.core import features, yaml_text
from cxr.core.errors import CxrError, UsageError
from cxr.core.strict_model import Seed, StrictModel
from cxr.core.validation_errors import FieldPath, of_settings, said_lines
from cxr.data.audit.audit_config import Audit
from cxr.data.demo import SEVERITY
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.beam_config import Direct
from cxr.pipeline.gate import Gate
from cxr.trainer.feature_cache.setting import Place, Setting, place_of
from cxr.trainer.model_config import MOST_MEMBERS, Ensemble, Model, Stage
from cxr.trainer.preprocessing_config import Preprocessing

_DRIVER = "driver"  # Trainer-driver would be what KFP calls the driver of a task Trainer: kubeflow/run_state.py leaves those out
# Keys of version 0.1: what they are called now.
RENAMED = {"head_layers": "head", "batch_statistics": "bn_recalibration (none, per_layer, per_channel)"}


class InfraCheck(StrictModel):
    """The check that an exported model answers rightly from a server in a fresh process."""

    load_seconds: float = Field(300.0, gt=0, description="how long the server may take to load the model")
    tolerance: float = Field(1e-3, ge=0, description="largest difference allowed between recorded and served probabilities")


class Explain(StrictModel):
    """Which images of the gate's split a run explains with heat maps, beside the wrong answers that report.html shows."""

    samples: int = Field(48, ge=1, description="images that are drawn, always the same ones of the same images")
    seed: Seed = Field(2021, description="of the draw")


class ReportPage(StrictModel):
    """What report.html shows."""

    pictures: bool = Field(True, description="radiographs: samples and errors; false: none, for a page that may be passed on")


class DemoData(StrictModel):
    """Synthetic images that a run makes where no data are given."""

    images: int = Field(480, ge=30)
    image_size: int = Field(128, ge=32, description="height and width, pixels")
    seed: Seed = 2021
    confounder: Literal["none", "marker", "brightness", "compression"] = Field(
        "none",
        description="planted in one class, for the audit to find: a marker in a corner, brighter pictures, or traces of JPEG's compression",
    )
    severity: tuple[float, float] = Field(
        SEVERITY, description="of the diseases, drawn evenly between these two: 0 cannot be seen, 1 is severe"
    )
    masks: bool = Field(False, description="also where the disease shows, so that the report says whether the heat maps lie there")

    @field_validator("severity")
    @classmethod
    def _check_severity(cls, severity: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= severity[0] <= severity[1] <= 1:
            raise ValueError("must be two numbers from 0 to 1, the lower one first")
        return severity


class Config(StrictModel):
    """Everything that decides what a run does; kept beside its outputs. What differs from the shipped one is printed at its start."""

    name: str = Field(
        max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="of the pipeline: its folder in the workspace, its history"
    )
    description: str = ""
    data: Ingest = Ingest()
    demo_data: DemoData | None = Field(None, description="set: the run makes synthetic data where --data is not given")
    image_size: int = Field(features.IMAGE_SIZE, ge=32, description="height and width of what Transform yields, pixels")
    preprocessing: Preprocessing = Preprocessing()
    schema_file: Path | None = Field(None, description="curated schema (pbtxt); null: the shipped one, with this configuration's classes")
    models: dict[str, Model] = Field(min_length=1, description="name of the pushed model: what it is")
    ensemble: Ensemble | None = Ensemble()
    audit: Audit = Audit()
    drift: Drift = Drift()
    gate: Gate = Gate()
    infra_check: InfraCheck = InfraCheck()
    explain: Explain = Explain()
    report: ReportPage = ReportPage()
    feature_cache: Setting | None = Field(Setting(), description="features of frozen backbones are kept across runs; null: they are not")
    beam: Direct = Field(Direct(), description="where the Beam-based nodes work")

    @model_validator(mode="after")
    def _check_names(self) -> Config:
        for name in self.models:
            if not re.fullmatch("[a-z][a-z0-9]*", name):
                raise ValueError(
                    f"models.{name}: a model's name has lower-case letters (a to z) and digits only, a letter first (it names nodes)"
                )
        if features.ENSEMBLE in self.models:
            raise ValueError(f"models.{features.ENSEMBLE}: this name is the ensemble's")
        if _DRIVER in self.models:
            raise ValueError(f"models.{_DRIVER}: what Kubeflow calls its own parts ends like the tasks of this model; give it another name")
        if self.ensemble and not 2 <= len(self.models) <= MOST_MEMBERS:
            raise ValueError(f"ensemble: joins 2 to {MOST_MEMBERS} models; set `ensemble: null` or change `models`")
        if problems := [*self.gate.unknown_models(self.candidates), *self.gate.unknown_classes(self.class_names)]:
            raise ValueError("; ".join(problems))
        return self

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of all models that are evaluated and pushed, the ensemble last."""
        return (*self.models, features.ENSEMBLE) if self.ensemble else tuple(self.models)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the models' probabilities."""
        return self.data.class_names

    def transform_settings(self) -> dict[str, Any]:
        """Returns what Transform is told: `custom_config` of `preprocessing_fn`."""
        return {
            "class_names": list(self.class_names),
            "image_size": self.image_size,
            "preprocessing": self.preprocessing.model_dump(mode="json"),
        }

    def feature_place(self, default: Path | None) -> Place:
        """Where features of frozen backbones are kept; see `place_of`."""
        return place_of(self.feature_cache, default)

    def check_validation(self, *, has_validation: bool) -> None:
        """Refuses what only a validation split can tell where the data have none: monitors, and the choice among the ensemble's methods.

        Args:
          has_validation: There is a validation split.

        Raises:
          CxrError: See above; of each model and of the ensemble the first such setting, one a line.
        """
        checks = [partial(model.check_monitors, f"models.{name}") for name, model in self.models.items()]
        if self.ensemble:
            checks.append(partial(self.ensemble.check_validation, features.ENSEMBLE))
        problems = []
        for check in checks:
            try:
                check(has_validation=has_validation)
            except CxrError as error:
                problems.append(str(error))
        if problems:
            raise CxrError("\n".join(problems))

    def to_yaml(self) -> str:
        """The configuration in full, as `load` reads it."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def shipped() -> dict[str, str]:
    """Returns the configurations that come with the project, with their descriptions."""
    folder = resources.files("cxr.pipeline") / "configs"
    texts = {Path(f.name).stem: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith(".yaml")}
    return {name: yaml.safe_load(texts[name]).get("description", "").strip() for name in sorted(texts)}


def load(name_or_file: str, overrides: Iterable[str] = ()) -> Config:
    """Reads a configuration.

    Args:
      name_or_file: A shipped name (`demo`) or the path of a YAML file. The file may hold a section `defaults`, which every entry of
        `models` starts from.
      overrides: `key=value` with a dotted key (`models.mobilenet.head_training.epochs=3`); `defaults.…` changes all models; the value
        is YAML.

    Raises:
      UsageError: No such configuration, unreadable YAML, an unknown key or a wrong value; names the file, the field and its line.
    """
    text, tree = _read(name_or_file)
    pairs = [_override(item) for item in overrides]
    for key, value in pairs:
        if key[0] == "defaults":
            _assign(tree, key, value)
    defaults = tree.pop("defaults", None) or {}
    if not isinstance(defaults, dict):
        raise UsageError(f"configuration {name_or_file}: defaults: must be fields of a model, as those of `models` are")
    models = tree.get("models")
    if isinstance(models, dict):  # what is wrong in them is told below, with its place
        whole = {name: {} if model is None else model for name, model in models.items()}
        models = tree["models"] = {name: _merged(defaults, model) if isinstance(model, dict) else model for name, model in whole.items()}
    for key, value in pairs:
        if key[0] == "defaults":  # an override for all models wins over what single models state
            present: dict[str, Any] = models if isinstance(models, dict) else {}
            for name, model in present.items():
                if len(key) > 1:
                    _assign(tree, ("models", name, *key[1:]), value)
                elif isinstance(model, dict):  # all of them at once, beside what makes each model another one
                    present[name] = _merged(model, value or {})
        else:
            _assign(tree, key, value)
    try:
        return Config.model_validate(tree)
    except pydantic.ValidationError as error:
        document, overridden = yaml_text.Lines(text), [key for key, _ in pairs]
        lines = said_lines(error, "configuration", _reason, lambda place: _line(document, place, overridden))
        raise UsageError(f"configuration {name_or_file}:\n{lines}") from None


def _read(name_or_file: str) -> tuple[str, dict[str, Any]]:
    path = Path(name_or_file)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        source = path
    else:
        source = Path(str(resources.files("cxr.pipeline") / "configs" / f"{name_or_file}.yaml"))
        if not source.is_file():
            raise UsageError(f"--config {name_or_file}: neither a file nor one of {', '.join(shipped())}")
    try:
        text = source.read_text(encoding="utf-8")
        tree = yaml_text.parse(text, name=str(source))
    except OSError as error:
        raise UsageError(f"--config {name_or_file}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"configuration {source}: not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise UsageError(f"configuration {source}: expected a mapping of keys to values")
    return text, tree


def _override(item: str) -> tuple[tuple[str, ...], Any]:
    key, equals, value = item.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{item!r}: an override is key=value, for example models.mobilenet.head_training.epochs=3")
    try:
        return tuple(key.strip().split(".")), yaml_text.parse(value, name="value")
    except yaml.YAMLError as error:
        raise UsageError(f"{item!r}: the value is not valid YAML: {error}") from None


def _assign(tree: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    *parents, last = key
    for i, part in enumerate(parents):
        child = tree.get(part)
        if child is None:
            child = tree[part] = {}
        if not isinstance(child, dict):
            raise UsageError(f"{'.'.join(key)}: {'.'.join(parents[: i + 1])} is a value, it has no fields")
        tree = child
    tree[last] = value


def _merged(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    result = {key: _merged(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in top.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _reason(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        if parents and parents[-1] == "head" and key in Stage.model_fields:
            return f"the stage is called head_training now: head_training.{key}"
        if key in RENAMED:
            return f"is called {RENAMED[key]} now"
    if error["loc"] == ("beam",) and isinstance(error["input"], list):
        return "Beam's options are called beam.options now"
    return of_settings(error)


def _line(document: yaml_text.Lines, place: FieldPath, overridden: Iterable[tuple[str, ...]]) -> int | None:
    """Returns the line of a configuration that a wrong value is from; None: an override is."""
    in_model = place[2:] if place[:1] == ("models",) else ()
    for key in overridden:
        of_all = key[0] == "defaults"
        own, way = (key[1:], in_model) if of_all else (key, place)
        shorter = min(len(own), len(way))
        if way and own[:shorter] == way[:shorter]:  # it made the value, what the value is in, or a part of it
            return None
    return document.of(place, *([("defaults", *in_model)] if in_model else []))

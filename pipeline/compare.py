"""Two runs beside each other: configuration, data, figures, and by how much one is better on the same patients."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cxr.components.answers.image_answers import AnsweredImages, read_image_answers, read_patients
from cxr.components.answers.paired import compare
from cxr.core.errors import CxrError
from cxr.core.intervals import Figure
from cxr.core.places import split_folder
from cxr.core.strict_model import StrictModel
from cxr.pipeline.config_differences import Difference, differences
from cxr.pipeline.kept_report import KeptModel, KeptReport
from cxr.pipeline.kept_runs import KeptRun, kept_runs, report_of
from cxr.pipeline.run_record import RECORD
from cxr.pipeline.workspace import CONFIG

NOT_THERE = "not in this run"


class Side(StrictModel):
    """What one run has of a model."""

    verdict: str
    figures: dict[str, Figure] = Field({}, description="on the split that it was judged on; empty: not evaluated")


class ModelComparison(StrictModel):
    """One model in both runs."""

    first: Side
    second: Side
    differences: dict[str, Figure] = Field({}, description="second less first, the same patients drawn for both; empty: see why_not")
    why_not: str = ""


class RunFacts(StrictModel):
    """What a run is."""

    run: str
    pipeline: str
    state: str
    seconds: float | None
    seconds_summed: bool = Field(description="`seconds` is the sum of its nodes, which run side by side: no run.json says how long it took")
    seconds_by_node: dict[str, float]
    peak_memory: int | None = Field(description="of its largest process, bytes")
    not_read: dict[str, str] = Field(description="files of the run that cannot be read: why; what they say is left out")


class Comparison(StrictModel):
    """What `cxr compare` finds."""

    first: RunFacts
    second: RunFacts
    synthetic: bool
    configuration: tuple[Difference, ...] | None = Field(description="null: not known, as that of a run cannot be read")
    data: tuple[str, ...] = Field(description="a sentence for each thing in which the data differ")
    models: dict[str, ModelComparison]


def compare_runs(first: KeptRun, second: KeptRun) -> Comparison:
    """Compares two runs, of one pipeline or of two.

    Raises:
      CxrError: One of them has no report.
    """
    reports = report_of(first), report_of(second)
    patients = _patients(second, reports[1]) or _patients(first, reports[0])
    return Comparison(
        first=_facts(first),
        second=_facts(second),
        synthetic=any(report.synthetic for report in reports),
        configuration=configuration_differences(first, second),
        data=tuple(data_differences(*reports)),
        models={
            name: _model(
                *(_Judged(run, report.models.get(name), patients) for run, report in zip((first, second), reports, strict=True)),
            )
            for name in dict.fromkeys([*reports[0].models, *reports[1].models])
        },
    )


def configuration_differences(first: KeptRun, second: KeptRun) -> tuple[Difference, ...] | None:
    """Returns in what the configurations of two runs differ; None: that of one of them cannot be read."""
    if first.configuration_damage or second.configuration_damage:
        return None
    return differences(first.configuration, second.configuration)


def data_differences(first: KeptReport, second: KeptReport) -> Iterator[str]:
    """Yields a sentence for each thing in which the data of two runs differ."""
    if not (first.data_fingerprint and second.data_fingerprint):
        yield "fingerprint: not kept by a run of an older version"
    elif first.data_fingerprint != second.data_fingerprint:
        yield f"fingerprint of the images and of how they were read: {first.data_fingerprint[:12]} and {second.data_fingerprint[:12]}"
    if first.split != second.split and first.split and second.split:
        yield f"judged on the splits {first.split} and {second.split}"
    if not (first.images and second.images):
        return
    for split in dict.fromkeys([*first.images, *second.images]):
        for what, then, now in (
            *((f"images of {label}", a, b) for label, a, b in _both(first.images.get(split, {}), second.images.get(split, {}))),
            ("patients", first.patients.get(split, 0), second.patients.get(split, 0)),
        ):
            if then != now:
                yield f"{split}: {then} and {now} {what}"


def previous_of(run: KeptRun) -> KeptRun | None:
    """Returns the newest run of the same pipeline before this one that judged a model; None: there is none."""
    earlier = (found for found in kept_runs(run.home.parent, run.pipeline) if found.name < run.name)
    return next((found for found in earlier if found.report and any(model.evaluation for model in found.report.models.values())), None)


class _Judged:
    """One run's side of a model."""

    def __init__(self, run: KeptRun, model: KeptModel | None, patients: dict[int, bytes]) -> None:
        self._run, self._model, self._patients = run, model, patients

    @property
    def side(self) -> Side:
        if self._model is None:
            return Side(verdict=NOT_THERE)
        found = self._model.evaluation
        return Side(verdict=self._model.verdict, figures=found.figures if found else {})

    @property
    def answers(self) -> AnsweredImages | None:
        place = self._run.place_of(self._model.evaluation_uri) if self._model else None
        try:
            return read_image_answers(place, self._patients) if place else None
        except CxrError:  # cleared away
            return None


def _model(first: _Judged, second: _Judged) -> ModelComparison:
    found = compare(first.answers, second.answers)
    return ModelComparison(first=first.side, second=second.side, differences=dict(found.differences), why_not=found.why_not)


def _patients(run: KeptRun, report: KeptReport) -> dict[int, bytes]:
    examples = run.place_of(report.examples_uri)
    return read_patients(split_folder(examples, report.split)) if examples and report.split else {}


def _facts(run: KeptRun) -> RunFacts:
    report = report_of(run)
    return RunFacts(
        run=run.name,
        pipeline=report.pipeline,
        state=run.state,
        seconds=run.seconds,
        seconds_summed=run.seconds_summed,
        seconds_by_node={node: kept.seconds for node, kept in report.nodes.items()},
        peak_memory=run.peak_memory,
        not_read={file: why for file, why in ((CONFIG, run.configuration_damage), (RECORD, run.record_damage)) if why},
    )


def _both(first: dict[str, int], second: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    for label in dict.fromkeys([*first, *second]):
        yield label, first.get(label, 0), second.get(label, 0)

"""Publishes a blessed model with the record of how it was judged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cxr.components.baseline.push_record import Comparison, PushRecord
from cxr.components.metrics import names
from cxr.components.metrics.evaluation import Evaluation, Validation
from cxr.components.metrics.evaluator_output import read_changes, read_evaluation, read_validation, read_values
from cxr.components.model_card.card import JSON, MARKDOWN
from cxr.components.model_card.make import Pushed, make_card
from cxr.components.pusher.known import Known
from cxr.components.pusher.publish import publish
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core.figure_table import row_of
from cxr.core.intervals import Figure, Interval
from cxr.trainer.model_info import ModelInfo, read_info

KEPT = (names.EXAMPLE_COUNT, *names.FIGURES)  # beside the model


def push(
    models: Path,
    candidate: Path,
    evaluation: str,
    known: Known,
    *,
    checked: str,
    run: str,
    source: str,
    shortcut_check: str,
) -> Path:
    """Makes a version of a model, with its record and its card, and the champion of it.

    Args:
      models: Folder of the model's versions.
      candidate: Folder of the SavedModel.
      evaluation: URI of the ModelEvaluation artifact.
      known: What was decided before: the split, the champion and the baseline.
      checked: Fingerprint of the SavedModel that the infrastructure check loaded.
      run: The run's id.
      source: URI of the Model artifact.
      shortcut_check: URI of the shortcut check's blessing.

    Returns:
      The version's folder.

    Raises:
      ChampionChangedError: The champion is another one than when the baseline was chosen.
      CxrError: The candidate is not what was checked, the pointer is damaged, or the volume has no file locks.
    """
    ours, theirs = ({name: values[name, None] for name in KEPT if (name, None) in values} for values in read_values(evaluation))
    found = read_evaluation(evaluation)
    record = partial(
        record_of,
        known=known,
        run=run,
        source=source,
        ours=ours,
        theirs=theirs or None,
        figures={name: found.figure(name) for name in names.FIGURES},
        changes=read_changes(evaluation),
    )
    card = partial(
        card_of,  # read here: whoever else pushes this model waits for what is done in `publish`
        info=read_info(str(candidate)),
        evaluation=found,
        validation=read_validation(evaluation),
        shortcuts=ShortcutVerdict.load(Path(shortcut_check)),
    )
    return publish(models, candidate, record, checked=checked, source=source, expected=known.champion, describe=card)


def card_of(
    record: PushRecord, *, info: ModelInfo, evaluation: Evaluation, validation: Validation, shortcuts: ShortcutVerdict
) -> dict[str, str]:
    """Returns the files of a model's card, by path below the version."""
    card = make_card(Pushed(record, info, evaluation, validation, shortcuts))
    return {MARKDOWN: card.markdown(), JSON: card.json()}


def record_of(
    version: str,
    fingerprint: str,
    *,
    known: Known,
    run: str,
    source: str,
    ours: dict[str, float],
    theirs: dict[str, float] | None,
    figures: dict[str, Figure] | None = None,
    changes: Mapping[str, Interval] | None = None,
) -> PushRecord:
    """Returns what is kept beside a version.

    Its baseline stays the floor that later ones are held to, unless it is surely better in a metric and worse in none: a floor that rose
    with every lucky draw would soon lie above what an equally good model can reach.

    Args:
      version: The version's name.
      fingerprint: Of the SavedModel.
      known: What was decided before.
      run: The run's id.
      source: URI of the Model artifact.
      ours: Metrics of the model, by name.
      theirs: Those of the baseline; None without one.
      figures: Those of the model that have intervals; None: they are not known.
      changes: By figure, the interval of the model's less the baseline's; None: they are not known.
    """
    baseline = Comparison(version=known.baseline, metrics=theirs) if theirs and known.baseline else None
    rises = baseline is None or (
        any(_surely_better(name, (changes or {}).get(name)) for name in known.compared)
        # in any of the metrics: with a floor that moves wherever accuracy rises, what is lost of another metric each time would add up
        and not any(_worse(name, ours[name], baseline.metrics[name]) for name in known.compared)
    )
    return PushRecord(
        version=version,
        pushed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        pipeline=known.pipeline,
        run=run,
        source=source,
        fingerprint=fingerprint,
        split=known.split,
        metrics=ours,
        figures=figures or {},
        baseline=baseline,
        floor=version if baseline is None or rises else baseline.version,
    )


def _surely_better(name: str, change: Interval | None) -> bool:
    """Tells whether the whole interval of a change is on the better side; one of too few patients, which has no ends, is not."""
    return change is not None and (change.high < 0 if row_of(name).lower_is_better else change.low > 0)


def _worse(name: str, ours: float, theirs: float) -> bool:
    return ours > theirs if row_of(name).lower_is_better else ours < theirs

"""A table of predictions, of whatever made them: a CSV file with the label and one probability per class."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.data.ingest.manifest import read_manifest
from cxr.data.ingest.rows import hint_at, parse_age, parse_sex, parse_view
from cxr.pipeline.outside.answers import Answer

SUM_TOLERANCE = 0.02  # probabilities rounded to two digits sum to 1 within it


def read_predictions(file: Path, class_names: Sequence[str]) -> tuple[list[Answer], tuple[str, ...]]:
    """Reads a table of predictions.

    Columns: `label`, one per class (its name), and where known `patient_id`, `source`, `view`, `sex`, `age`; others are passed over.
    Spelling, separators and encodings as in a manifest (data/ingest/manifest.py).

    Args:
      file: CSV.
      class_names: In the order in which probabilities are wanted.

    Returns:
      The answers and what a user should know.

    Raises:
      UsageError: There is no such file.
      CxrError: Names file, line and column; no value of a row.
    """
    if not file.is_file():
        raise UsageError(f"--predictions {file}: no such file")
    columns, rows, notes = read_manifest(file, required=(features.LABEL, *class_names), or_else="; for other classes set --classes")
    answers = list(_answers(file, rows, class_names))
    if not answers:
        raise CxrError(f"{file}: holds no row but its header")
    if "patient_id" not in columns:
        notes.append(f"{file} has no column 'patient_id': every row counts as a patient of its own, and the intervals may be too narrow")
    return answers, tuple(notes)


def _answers(file: Path, rows: Iterator[tuple[int, dict[str, str]]], class_names: Sequence[str]) -> Iterator[Answer]:
    alike = Counter[str]()
    for line, row in rows:
        where = f"{file} line {line}"
        if row[features.LABEL] not in class_names:
            hint = hint_at(row[features.LABEL], class_names)
            raise CxrError(
                f"{where}: column {features.LABEL!r} must be one of {', '.join(class_names)}{hint}; correct it, or set --classes"
            )
        shares = np.array([_share(row[name], name, where) for name in class_names], np.float32)
        if abs(shares.sum() - 1) > SUM_TOLERANCE:
            raise CxrError(
                f"{where}: the columns {', '.join(class_names)} sum to {shares.sum():.3g}, not to 1; give probabilities, not scores"
            )
        facts = _facts(row, where)
        patient = row.get("patient_id", "")
        if not patient:
            # By what it says and not by its place: names order the draws of patients, and in any order rows must have the same intervals.
            said = hashlib.sha256(repr((row[features.LABEL], shares.tolist(), sorted(facts.items()))).encode()).hexdigest()
            patient = f"row {said} {alike[said]}"
            alike[said] += 1
        yield Answer(row[features.LABEL], shares, patient, facts)


def _share(text: str, column: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:  # NaN too
        raise CxrError(f"{where}: column {column!r} must be a probability from 0 to 1, with a point: 0.75")
    return share


def _facts(row: dict[str, str], where: str) -> dict[str, str]:
    facts = {features.SOURCE: row[features.SOURCE]} if row.get(features.SOURCE) else {}
    if row.get(features.VIEW):
        facts[features.VIEW] = parse_view(row[features.VIEW])
    try:
        facts[features.SEX] = parse_sex(row.get("sex", ""))
        facts[features.AGE_BAND] = features.age_band(parse_age(row.get("age", "")))
    except CxrError as error:
        raise CxrError(f"{where}: {error}") from None
    return facts

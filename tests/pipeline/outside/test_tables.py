"""The tables that `cxr evaluate` ends with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rich.table import Table

from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS
from cxr.pipeline.outside.answers import Answer, measure
from cxr.pipeline.outside.evaluate import ModelFigures
from cxr.pipeline.outside.tables import remarks, tables

CLASSES = ("covid19", "pneumonia", "normal")


def cells(table: Table) -> list[list[Any]]:
    return [list(row) for row in zip(*(column.cells for column in table.columns), strict=True)]


def test_every_figure_has_its_title_and_its_value() -> None:
    told = [(np.eye(3)[n % 3 if n % 4 else 0] * 0.7 + 0.1).astype(np.float32) for n in range(48)]
    answers = [Answer(CLASSES[n % 3], probabilities, f"{n // 2}", {"source": "there"}) for n, probabilities in enumerate(told)]
    found = measure(answers, CLASSES, 15)
    measured = ModelFigures(model=None, version=None, images=48, absent_classes=(), seen=None, seen_included=False, evaluation=found)
    whole, classes, _, slices = tables(measured)
    assert cells(whole) == [[row.title, str(found.figure(row.name))] for row in OF_ALL_CLASSES]
    assert [str(column.header) for column in classes.columns] == ["class", "images", *(row.title for row in OF_ONE_CLASS)]
    assert cells(classes) == [[one.name, "16", *(str(one.figure(row.name)) for row in OF_ONE_CLASS)] for one in found.classes]
    shown = [row for row in OF_ALL_CLASSES if row.by_slice]
    assert [str(column.header) for column in slices.columns][3:] == [row.title for row in shown]
    assert {row[0].partition(" ")[0] for row in cells(slices)} == {"source", "view", "sex", "age_band"}  # of a class there is the recall
    assert cells(slices)[-1][3:] == [str(found.slices[-1].figure(row.name)) for row in shown]


@pytest.mark.parametrize(
    ("count", "included", "seen", "outside"),
    [
        (1, True, "1 of 1 image was seen in training; it is measured with", "finds 1 of 1 image unlike"),
        (1, False, "1 of 2 images was seen in training; it is left out (--include-seen measures on it)", "finds 1 of 1 image unlike"),
        (
            2,
            False,
            "2 of 4 images were seen in training; they are left out (--include-seen measures on them)",
            "finds 2 of 2 images unlike",
        ),
    ],
)
def test_words_agree_with_what_they_count(count: int, included: bool, seen: str, outside: str) -> None:
    answers = [Answer("normal", np.full(3, 1 / 3, np.float32), f"{n}", {}) for n in range(count)]
    measured = ModelFigures(
        model="tiny", version="1", images=count, absent_classes=(), seen=count, seen_included=included, outside=count,
        evaluation=measure(answers, CLASSES, 15),
    )  # fmt: skip
    said = " ".join(remarks(measured))
    assert seen in said
    assert outside in said

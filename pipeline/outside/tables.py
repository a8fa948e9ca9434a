"""The tables that `cxr evaluate` ends with."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from cxr.core.counts import agreeing, how_many
from cxr.core.disclaimer import SYNTHETIC
from cxr.core.figure_table import BALANCED_ACCURACY, OF_ALL_CLASSES, OF_ONE_CLASS, row_of
from cxr.core.intervals import NONE
from cxr.pipeline.outside.evaluate import ModelFigures


def tables(found: ModelFigures) -> Iterator[Table]:
    """Yields the figures of the whole, of each class, the confusion matrix, and the slices."""
    e = found.evaluation
    name = f"model {found.model} version {found.version}" if found.model else "predictions"
    made_up = f" ({SYNTHETIC})" if found.synthetic_data or found.synthetic_model else ""
    whole = Table(title=f"{name} on {how_many(e.examples, 'image')} of {how_many(e.patients, 'patient')}{made_up}")
    whole.add_column("figure")
    whole.add_column("value (95 % interval)")
    over = f", over {', '.join(one.name for one in e.classes if one.examples)}" if found.absent_classes else ""
    for row in OF_ALL_CLASSES:
        whole.add_row(row.title + (over if row.name == BALANCED_ACCURACY else ""), str(e.figure(row.name)))
    yield whole

    classes = Table(title="each class against the others")
    for column in ("class", "images", *(row.title for row in OF_ONE_CLASS)):
        classes.add_column(column)
    for one in e.classes:
        classes.add_row(one.name, str(one.examples), *(str(one.figure(row.name)) for row in OF_ONE_CLASS))
    yield classes

    confusion = Table(title="labels (rows) and predictions (columns)")
    for column in ("", *e.class_names):
        confusion.add_column(column, justify="right" if column else "left")
    for one, counts in zip(e.classes, e.confusion_matrix, strict=True):
        confusion.add_row(one.name, *map(str, counts)) if one.examples else confusion.add_row(one.name, *(NONE for _ in counts))
    yield confusion

    slices = Table(title="slices")
    shown = {row.name: row.title for row in OF_ALL_CLASSES if row.by_slice}
    for column in ("slice", "images", "patients", *shown.values()):
        slices.add_column(column, overflow="fold")
    for part in e.tabled_slices:
        slices.add_row(
            f"{part.feature} {part.value}",
            str(part.examples),
            str(part.patients),
            *(str(part.figure(name)) for name in shown),
        )
    yield slices


def remarks(found: ModelFigures) -> Iterator[str]:
    """Yields what must be known beside the figures."""
    if found.absent_classes:
        rest = f"{row_of(BALANCED_ACCURACY).title} is the mean recall of the others"
        yield f"no image of {', '.join(found.absent_classes)}: figures of a class without images are shown as –, and {rest}"
    if found.model and found.seen is None:
        yield "the model does not say which images it was trained on: none of them could be left out"
    elif found.seen:
        rest = agreeing(found.seen, "it is left out (--include-seen measures on it)", "they are left out (--include-seen measures on them)")
        if found.seen_included:
            rest = f"{agreeing(found.seen, 'it is', 'they are')} measured with the others, which flatters"
        apart = (found.copies or 0) + (found.known_patients or 0)
        total = found.images + apart + (0 if found.seen_included else found.seen)
        yield f"{found.seen} of {how_many(total, 'image')} {agreeing(found.seen, 'was', 'were')} seen in training; {rest}"
    if found.copies or found.known_patients:
        copies = how_many(found.copies or 0, "copy", "copies")
        others = ""
        if found.known_patients is not None:
            others = f", and {how_many(found.known_patients, 'other image')} of training patients"
        yield f"also left out: {copies} of training pictures{others}"
    if found.outside is not None:
        yield f"the model finds {found.outside} of {how_many(found.images, 'image')} unlike its training images"
    if found.rejects:
        reasons = ", ".join(f"{count} {why}" for why, count in found.rejects.items())
        yield f"{how_many(sum(found.rejects.values()), 'file')} could not be used: {reasons}"
    if found.repeated:
        yield f"{how_many(found.repeated, 'image is a copy', 'images are copies')}, equal to the pixel, of others in the data"
    if found.contradictory:
        yield f"{how_many(found.contradictory, 'picture has', 'pictures have')} several labels; `cxr ingest` lists them"
    yield from found.notes

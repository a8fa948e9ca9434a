"""Which confounders the audit finds where one is planted in one class, from obvious to faint; and how often it cries wolf.

Real pictures (of records; patients are dealt classes by lot, so that nothing but what is planted tells them), or healthy synthetic persons.
Every picture of the class `covid19` is changed in one way, and each is stored as ingest would: real ones as JPEGs of quality 95, since they
were JPEGs, synthetic ones as PNGs. For each change: what `cxr audit` would exit with, whether a class is told clearly or something about
one, and by which shortcuts; of the surest the AUC, out of fold, with its 95 % interval by patient. For changes of pixels only the shortcuts
that see pixels are tried, joint ones left out. `--null N` deals the classes N times otherwise and plants nothing; all are tried there.

usage: python benchmarks/planted.py [--records RECORDS] [--count 300] [--only TEXT] [--shortcuts NAMES] [--null 0]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from processing_traces import filtered, jpeg, noisy, resampled

from cxr.core import exit_codes, features
from cxr.core.places import records_in
from cxr.data.audit.audit import run_audit
from cxr.data.audit.audit_config import Audit
from cxr.data.audit.records import Tables
from cxr.data.audit.result import ShortcutResult
from cxr.data.audit.tables import MEASURED, Example, decode
from cxr.data.demo.lettering import stamped
from cxr.data.demo.radiograph import draw
from cxr.data.example_columns import examples
from cxr.trainer import contrast as contrast_maps

SEED = 7000
SIDE = 224  # of synthetic pictures, pixels
CLASSES = len(features.CLASS_NAMES)
FACTS = (features.SOURCE, features.FORMAT, features.VIEW, features.SEX, features.AGE_BAND)
Picture = np.ndarray  # uint8 [height, width]
Change = Callable[[Picture], Picture]


def levels(curve: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Returns what maps grey levels, 0 to 1, by a curve."""
    table = (255 * curve(np.arange(256) / 255)).round().clip(0, 255).astype(np.uint8)
    return lambda picture: table[picture]


def contrast(share: float) -> Change:
    """Returns what brings grey levels nearer to the picture's mean, or further from it."""
    return lambda picture: (picture.mean() + share * (picture - picture.mean())).round().clip(0, 255).astype(np.uint8)


def turned(degrees: float) -> Change:
    """Returns what turns a picture counter-clockwise; the corners that come in are black."""
    return lambda picture: np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR))


def stretched(share: float) -> Change:
    """Returns what makes a picture wider."""
    return lambda picture: np.asarray(
        Image.fromarray(picture).resize((round(share * picture.shape[1]), len(picture)), Image.Resampling.BICUBIC)
    )


def framed(top: float = 0, bottom: float = 0, left: float = 0, right: float = 0, *, add: bool = False, level: int = 0) -> Change:
    """Returns what covers the picture's margins, shares of its sides below 1 and pixels from there on; or adds them to it."""

    def change(picture: Picture) -> Picture:
        height, width = picture.shape
        sides = [(top, height), (bottom, height), (left, width), (right, width)]
        above, below, before, behind = (round(given if given >= 1 else given * side) for given, side in sides)
        if not add:
            picture = picture[above : height - below, before : width - behind]
        return np.pad(picture, ((above, below), (before, behind)), constant_values=level)

    return change


def patch(at: tuple[float, float], size: tuple[float, float], level: int = 255) -> Change:
    """Returns what paints a rectangle: its middle and size as (x, y), shares of the sides below 1, pixels from there on."""

    def change(picture: Picture) -> Picture:
        marked = picture.copy()
        places = []
        for middle, length, side in zip(at[::-1], size[::-1], picture.shape, strict=True):
            long = round(length if length >= 1 else max(1, length * side))
            start = min(max(0, round(middle * side - long / 2)), side - long)
            places.append(slice(start, start + long))
        marked[tuple(places)] = level
        return marked

    return change


def letter(text: str, at: tuple[float, float], height: float, level: int = 255) -> Change:
    """Returns what writes a text; `stamped` says what the numbers mean."""

    def change(picture: Picture) -> Picture:
        side = min(picture.shape)
        square = stamped(picture[:side, :side], text, (at[0], at[1]), height, level=level)
        return np.block([[square, picture[:side, side:]], [picture[side:]]]) if picture.shape != square.shape else square

    return change


def anywhere(make: Callable[[tuple[float, float]], Change], low: float = 0.05, high: float = 0.95) -> Change:
    """Returns what plants in another place of each picture."""
    rng = np.random.default_rng(SEED)
    return lambda picture: make(tuple(rng.uniform(low, high, 2)))(picture)


def line(wide: float, level: int) -> Change:
    """Returns what draws a curve from the upper edge to the middle, as a tube or a cable lies, in a slightly other way each time."""
    rng = np.random.default_rng(SEED)

    def change(picture: Picture) -> Picture:
        height, width = picture.shape
        drawn, bend = Image.fromarray(picture), rng.uniform(-0.06, 0.06)
        down = np.linspace(0, 0.5, 20)
        places = [((0.52 + bend * np.sin(4 * y)) * width, y * height) for y in down]
        ImageDraw.Draw(drawn).line(places, fill=level, width=max(1, round(wide * width / 224)), joint="curve")
        return np.asarray(drawn)

    return change


def locally_equalised(strength: float) -> Change:
    """Returns what mixes a picture with what `contrast=clahe` makes of it, which takes squares."""

    def change(picture: Picture) -> Picture:
        height, width = picture.shape
        side = max(picture.shape)
        square = np.pad(picture, ((0, side - height), (0, side - width)), mode="edge").astype(np.float32) / 255
        equal = 255 * contrast_maps.apply(square[np.newaxis, ..., np.newaxis], "clahe").numpy()[0, :height, :width, 0]
        return (strength * equal + (1 - strength) * picture).round().astype(np.uint8)

    return change


CHANGES: Mapping[str, Change] = {
    "nothing": lambda picture: picture,
    "mirrored": lambda picture: picture[:, ::-1],
    "upside down": lambda picture: picture[::-1],
    "turned by a quarter": lambda picture: np.rot90(picture),
    "turned by 3 degrees": turned(3),
    "turned by 1 degree": turned(1),
    "inverted": lambda picture: 255 - picture,
    "brighter by 10 %": levels(lambda grey: 1.1 * grey),
    "brighter by 5 %": levels(lambda grey: 1.05 * grey),
    "brighter by 2 %": levels(lambda grey: 1.02 * grey),
    "gamma 0.7": levels(lambda grey: grey**0.7),
    "gamma 0.9": levels(lambda grey: grey**0.9),
    "0.7 of the contrast": contrast(0.7),
    "0.9 of the contrast": contrast(0.9),
    "histogram equalised": lambda picture: np.asarray(ImageOps.equalize(Image.fromarray(picture))),
    "locally equalised (CLAHE), half": locally_equalised(0.5),
    "locally equalised (CLAHE), a fifth": locally_equalised(0.2),
    "64 grey levels": levels(lambda grey: np.floor(grey * 63.75) / 63.75),
    "128 grey levels": levels(lambda grey: np.floor(grey * 127.5) / 127.5),
    "blur of 1 pixel": filtered(ImageFilter.GaussianBlur(1)),
    "blur of 0.4 pixels": filtered(ImageFilter.GaussianBlur(0.4)),
    "sharpened by 60 %": filtered(ImageFilter.UnsharpMask(1.5, 60, 0)),
    "sharpened by 20 %": filtered(ImageFilter.UnsharpMask(1.5, 20, 0)),
    "noise of 2 grey levels": noisy(2),
    "noise of 1 grey level": noisy(1),
    "JPEG, quality 60": jpeg(60),
    "JPEG, quality 90": jpeg(90),
    "half the resolution": resampled(0.5),
    "wider by 5 %": stretched(1.05),
    "black canvas, 10 % on both sides": framed(left=0.1, right=0.1, add=True),
    "black canvas, 2 % on both sides": framed(left=0.02, right=0.02, add=True),
    "letterbox of 5 %": framed(0.05, 0.05),
    "black edge on the left, 4 pixels": framed(left=4),
    "black edge on the left, 1 pixel": framed(left=1),
    "letter in a corner, 9 %": letter("P", (0.08, 0.93), 0.09),
    "letter in a corner, 4.5 %": letter("P", (0.08, 0.93), 0.045),
    "dark letter in a corner, 9 %": letter("P", (0.08, 0.93), 0.09, 0),
    "grey letter (150) in a corner, 9 %": letter("P", (0.08, 0.93), 0.09, 150),
    "letter anywhere, 9 %": anywhere(lambda at: letter("P", at, 0.09)),
    "text on the picture, 3 %": letter("PORTABLE 12:45", (0.5, 0.9), 0.03),
    "white mark on an edge, 10 × 4 %": patch((0.5, 0), (0.1, 0.04)),
    "white mark on an edge, 5 × 2 %": patch((0.5, 0), (0.05, 0.02)),
    "black mark on an edge, 10 × 4 %": patch((0.5, 0), (0.1, 0.04), 0),
    "white mark in the middle, 6 %": patch((0.5, 0.5), (0.06, 0.06)),
    "white mark in the middle, 3 %": patch((0.5, 0.5), (0.03, 0.03)),
    "white mark in a corner, 9 × 9 pixels": patch((0.02, 0.02), (9, 9)),
    "white mark in a corner, 3 × 3 pixels": patch((0.02, 0.02), (3, 3)),
    "white mark anywhere, 3 %": anywhere(lambda at: patch(at, (0.03, 0.03))),
    "a tube, white": line(2, 255),
    "a tube, grey": line(2, 190),
}
SHARE, OTHERS = "letter on 60 % of the class and 5 % of the others", "letter in a corner, 9 %"
SEE_PIXELS = [name for name, shortcut in MEASURED.items() if not (shortcut.words or shortcut.reference or name == "size")]
SIZES = ("wider by 5 %", "black canvas, 10 % on both sides", "black canvas, 2 % on both sides")  # change the picture's size, too
FACT = {"another source": features.SOURCE, "another file type": features.FORMAT}


@dataclass(frozen=True)
class Set:
    """Pictures of which nothing tells the class.

    Attributes:
      name: For the table.
      kept: Each as it is, to be stored.
      store: What storing does to a picture.
      labels: int64 [images], by patient.
      patients: [images] bytes.
      facts: Of each, what a record says.
    """

    name: str
    kept: Sequence[Picture]
    store: Change
    labels: np.ndarray
    patients: np.ndarray
    facts: Sequence[Mapping[str, str]]

    def by_lot(self, seed: int) -> "Set":
        """Deals every patient another class."""
        _, owner = np.unique(self.patients, return_inverse=True)
        return replace(self, labels=np.random.default_rng(seed).permutation(owner.max() + 1)[owner] % CLASSES)


def rows_of(example: Example) -> dict[str, object]:
    """Returns every shortcut's row."""
    return {shortcut.name: shortcut.row(example) for shortcut in MEASURED.values()}


def rows_of_all(pictures: Sequence[Picture], facts: Sequence[Mapping[str, str]]) -> list[dict[str, object]]:
    """Returns the rows of some pictures."""
    return [
        rows_of(Example(said, len(picture), len(picture[0]), np.ascontiguousarray(picture)))
        for picture, said in zip(pictures, facts, strict=True)
    ]


def tables(rows: Sequence[Mapping[str, object]], labels: np.ndarray, patients: np.ndarray) -> Tables:
    """Puts rows into tables as `read_tables` does."""
    found = {name: np.array([row[name] for row in rows], object if shortcut.words else np.float32) for name, shortcut in MEASURED.items()}
    return Tables(labels, patients, np.full(len(labels), features.TRAIN), found)


def planted(change: str, given: Set, plain: Sequence[Mapping[str, object]]) -> Tables:
    """Returns the tables with a change in the first class.

    Args:
      change: A key of CHANGES or FACT, or SHARE.
      given: The pictures.
      plain: Their rows without any.
    """
    changed = given.labels == 0
    facts = list(given.facts)
    act = CHANGES["nothing" if change in FACT else OTHERS if change == SHARE else change]
    if change == SHARE:
        drawn = np.random.default_rng(SEED).random(len(given.labels))
        changed = drawn < np.where(changed, 0.6, 0.05)
    if change in FACT:
        facts = [{**said, FACT[change]: "other"} for said in facts]
    rows = list(plain)
    if change != "nothing":
        at = np.flatnonzero(changed).tolist()
        some = rows_of_all([given.store(act(given.kept[k])) for k in at], [facts[k] for k in at])
        for k, row in zip(at, some, strict=True):
            rows[k] = row
    return tables(rows, given.labels, given.patients)


def heard(data: Tables) -> list[ShortcutResult]:
    """Returns what the audit finds, by shortcut."""
    return list(run_audit(data, features.CLASS_NAMES, Audit(), features.TEST)[0].shortcuts)


def said(found: Sequence[ShortcutResult]) -> str:
    """Returns the exit code, which shortcuts tell a class clearly, and what is told best."""
    own = [one for one in found if one.kind == "shortcut" and one.folds]
    clear = [one for one in own if one.clear_classes]
    some = [one for one in own if one.hinted_classes]
    best = max(clear or some or own, key=lambda one: one.folds.auc[features.COVID19].low or 0)  # type: ignore[union-attr]
    kind = "clear" if clear else "something" if some else "-"
    code = exit_codes.REFUSED if clear else exit_codes.OK
    names = ", ".join(one.name for one in (clear or some))
    return f"{code} | {kind} | {best.name} {best.folds.auc[features.COVID19]} | {names}"  # type: ignore[union-attr]


def real(records: Path, count: int) -> Set:
    """Returns some pictures, of all sources and classes: those whose hashes come first."""
    found = []
    for _, example in examples(sorted(map(str, records.glob(records_in("*"))))):
        feature = example.features.feature
        facts = {name: feature[name].bytes_list.value[0].decode() for name in FACTS}
        found.append(
            (
                feature[features.CONTENT_HASH].bytes_list.value[0],
                feature[features.PATIENT_ID].bytes_list.value[0],
                facts,
                feature[features.IMAGE].bytes_list.value[0],
            )
        )
    found = sorted(found, key=lambda one: one[0])[:count]
    pictures = [decode(one[3]) for one in found]
    patients = np.array([one[1] for one in found], object)
    return Set("real", pictures, jpeg(95), np.zeros(len(found), np.int64), patients, [one[2] for one in found]).by_lot(SEED)


def synthetic(count: int) -> Set:
    """Returns healthy drawn persons, a picture of each."""
    pictures = [draw(SEED + at, features.NORMAL, SIDE).image for at in range(count)]
    patients = np.array([f"{number}".encode() for number in range(count)], object)
    facts = [dict.fromkeys(FACTS, features.UNKNOWN)] * count
    return Set("synthetic", pictures, CHANGES["nothing"], np.zeros(count, np.int64), patients, facts).by_lot(SEED)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, help="folder that cxr ingest wrote; without it synthetic persons are taken")
    parser.add_argument("--count", type=int, default=300, help="pictures")
    parser.add_argument("--only", default="", help="changes whose name holds this text")
    parser.add_argument("--null", type=int, default=0, help="how often the classes are dealt otherwise, and nothing is planted")
    parser.add_argument("--shortcuts", default="", help="names of shortcuts, commas between them: only these are tried")
    given = parser.parse_args()
    some = given.shortcuts.split(",") if given.shortcuts else []
    pictures = real(given.records, given.count) if given.records else synthetic(given.count)
    plain = rows_of_all([pictures.store(picture) for picture in pictures.kept], pictures.facts)
    print(f"{pictures.name}: {len(plain)} pictures of {len(set(pictures.patients))} patients", flush=True)
    wanted = [name for name in (*CHANGES, SHARE, *FACT) if given.only in name]
    for name in wanted if not given.null else ():
        data = planted(name, pictures, plain)
        if some or name not in (*FACT, *SIZES):
            data = replace(data, tables={key: table for key, table in data.tables.items() if key in (some or SEE_PIXELS)})
        print(f"{name} | {said(heard(data))}", flush=True)
    for number in range(given.null):
        dealt = pictures.by_lot(SEED + 1 + number)
        data = tables(plain, dealt.labels, dealt.patients)
        if some:
            data = replace(data, tables={key: table for key, table in data.tables.items() if key in some})
        print(f"nothing, dealt {number + 1} | {said(heard(data))}", flush=True)


if __name__ == "__main__":
    main()

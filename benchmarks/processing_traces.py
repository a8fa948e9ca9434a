"""Which traces of processing the audit finds in pictures of one class, and whether it takes the disease for one.

On synthetic persons: sick ones of three classes as they are, which tells how much of the disease the shortcut `processing` sees; and
healthy ones, of whom a third, the class `covid19`, is processed in one way. Given records, also real pictures: of one source, every patient
dealt a class by lot, so that only what is planted tells them apart. Every picture is stored as ingest would, JPEG of quality 95, or PNG.
Area under the ROC curve of `covid19` against the rest, out of fold, with its 95 % interval by patient.

usage: python benchmarks/processing_traces.py [--count 240] [--side 224] [--records RECORDS --source NAME]
"""

import argparse
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

from cxr.core import features
from cxr.core.places import records_in
from cxr.data.audit.audit import run_audit
from cxr.data.audit.audit_config import Audit
from cxr.data.audit.records import Tables
from cxr.data.audit.tables import MEASURED, Example, decode
from cxr.data.demo import SEVERITY
from cxr.data.demo.radiograph import draw
from cxr.data.example_columns import examples

NAME = "processing"
SEED = 5000
Change = Callable[[np.ndarray], np.ndarray]


def jpeg(quality: int) -> Change:
    """Returns what stores a picture as a JPEG and reads it again."""

    def change(picture: np.ndarray) -> np.ndarray:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream))

    return change


def filtered(by: ImageFilter.Filter) -> Change:
    """Returns what applies one of Pillow's filters."""
    return lambda picture: np.asarray(Image.fromarray(picture).filter(by))


def resampled(share: float) -> Change:
    """Returns what scales a picture to a share of its sides and back, by bicubic interpolation."""

    def change(picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape
        there = Image.fromarray(picture).resize((round(share * width), round(share * height)), Image.Resampling.BICUBIC)
        return np.asarray(there.resize((width, height), Image.Resampling.BICUBIC))

    return change


def noisy(deviation: float) -> Change:
    """Returns what adds normal noise, grey levels."""
    rng = np.random.default_rng(0)
    return lambda picture: (picture + rng.normal(0, deviation, picture.shape)).round().clip(0, 255).astype(np.uint8)


def faint_line(picture: np.ndarray) -> np.ndarray:
    """Makes the middle row six grey levels brighter."""
    lined = picture.copy()
    middle = len(lined) // 2
    lined[middle] = np.minimum(lined[middle].astype(int) + 6, 255)
    return lined


CHANGES: Mapping[str, Change] = {
    "nothing": lambda picture: picture,
    "JPEG, quality 30": jpeg(30),
    "JPEG, quality 75": jpeg(75),
    "JPEG, quality 90": jpeg(90),
    "blur of 0.4 pixels": filtered(ImageFilter.GaussianBlur(0.4)),
    "blur of 0.6 pixels": filtered(ImageFilter.GaussianBlur(0.6)),
    "blur of 1 pixel": filtered(ImageFilter.GaussianBlur(1)),
    "sharpened (unsharp mask of 60 %)": filtered(ImageFilter.UnsharpMask(1.5, 60, 0)),
    "scaled to 0.75 and back": resampled(0.75),
    "scaled to 1.3 and back": resampled(1.3),
    "noise of 1 grey level": noisy(1),
    "noise of 2 grey levels": noisy(2),
    "0.8 of the contrast": lambda picture: np.round(picture * 0.8).astype(np.uint8),
    "a faint line": faint_line,
}
STORED: Mapping[str, Change] = {"PNG": CHANGES["nothing"], "JPEG": jpeg(95)}


def told(pictures: Sequence[np.ndarray], labels: np.ndarray, patients: np.ndarray) -> str:
    """Returns how well the first class is told from the rest, and whether that is clear."""
    rows = np.array([MEASURED[NAME].row(Example({}, len(picture), len(picture[0]), picture)) for picture in pictures], np.float32)
    data = Tables(labels, patients, np.full(len(labels), features.TRAIN), {NAME: rows})
    found = run_audit(data, features.CLASS_NAMES, Audit(), features.TEST)[0].shortcuts[0]
    assert found.folds is not None
    return f"{found.folds.auc[features.COVID19]}" + (" *" if features.COVID19 in found.clear_classes else "")


def of_one_source(records: Path, source: str, count: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Returns real pictures of one source, the class of each by lot, and whose it is."""
    pictures: list[np.ndarray] = []
    patients: list[bytes] = []
    for _, example in examples(sorted(map(str, records.glob(records_in("*"))))):
        feature = example.features.feature
        if feature[features.SOURCE].bytes_list.value[0].decode() == source and len(pictures) < count:
            pictures.append(decode(feature[features.IMAGE].bytes_list.value[0]))
            patients.append(feature[features.PATIENT_ID].bytes_list.value[0])
    names, owner = np.unique(np.array(patients, object), return_inverse=True)
    return pictures, np.random.default_rng(SEED).permutation(len(names))[owner] % len(features.CLASS_NAMES), names[owner]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=240, help="pictures")
    parser.add_argument("--side", type=int, default=224, help="of synthetic pictures, pixels")
    parser.add_argument("--records", type=Path, help="folder that cxr ingest wrote")
    parser.add_argument("--source", help="whose pictures are taken of these records")
    given = parser.parse_args()
    if (given.records is None) != (given.source is None):
        parser.error("--records and --source go together")
    classes = np.arange(given.count) % len(features.CLASS_NAMES)
    own = np.array([f"{number}".encode() for number in range(given.count)], object)
    severity = np.random.default_rng(SEED).uniform(*SEVERITY, given.count)
    sick = [draw(SEED + at, features.CLASS_NAMES[classes[at]], given.side, severity[at]).image for at in range(given.count)]
    healthy = [draw(2 * SEED + at, features.NORMAL, given.side).image for at in range(given.count)]
    sets = {"sick synthetic": (sick, classes, own), "healthy synthetic": (healthy, classes, own)}
    if given.records:
        sets[f"{given.source}, by lot"] = of_one_source(given.records, given.source, given.count)
    table = Table("pictures", "what was done to one class", *(f"kept as {name}" for name in STORED), box=None)
    for name, (pictures, labels, patients) in sets.items():
        for change, planted in CHANGES.items() if name != "sick synthetic" else [("nothing", CHANGES["nothing"])]:
            changed = [planted(picture) if label == 0 else picture for picture, label in zip(pictures, labels, strict=True)]
            table.add_row(name, change, *(told([store(picture) for picture in changed], labels, patients) for store in STORED.values()))
    Console(width=140).print(table)
    print("AUC of covid19 against the rest; *: a class is told clearly")


if __name__ == "__main__":
    main()

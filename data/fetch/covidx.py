"""COVIDx (lindawangg/COVID-Net): lists of labels, one line per image, and the images in the folders train and test."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from cxr.core.errors import CxrError
from cxr.core.features import COVID19, NORMAL, PNEUMONIA
from cxr.data.fetch.catalogue import Collection
from cxr.data.fetch.selection import Candidate, Options, Part, Selection, Walk, found

LABELS = {"covid-19": COVID19, "positive": COVID19, "pneumonia": PNEUMONIA, "normal": NORMAL}
UNLISTED = "in the folder {subset}, without a list of labels"
WITHOUT = "there is no {subset}_COVIDx….txt, so that no image of the folder {subset} was taken; put it there, and name another OUT"
UNCLEAR = "labelled 'negative' only, pneumonia or not"
SUBSETS = ("train", "test")
SPELLINGS = {"rnsa": "rsna"}  # of sources
_LINE = re.compile(
    r"(?:(?P<patient>\S+) )?(?P<file>\S.*?) (?P<label>covid-19|pneumonia|normal|positive|negative)(?: (?P<source>\S+))?", re.IGNORECASE
)
_LIST = r"{subset}(_covidx\w*)?\.txt"


def select(walk: Walk, options: Options, folder: Path) -> Selection:
    """Takes all images with one of the three labels: the collection has frontal X-rays only.

    Raises:
      CxrError: No list of labels, or a line that is none; names the list and the line.
    """
    selection = Selection()
    files = [PurePosixPath(entry.name) for entry in walk()]  # once: of a large archive it takes minutes
    lists = [(subset, _labels(walk, [file.name for file in files], subset, folder)) for subset in SUBSETS]
    if not any(text for _, text in lists):
        raise CxrError("no train_COVIDx….txt or test_COVIDx….txt in it; put the lists of COVID-Net's folder `labels` beside the images")
    for subset, text in lists:
        if not text:
            selection.left_out[UNLISTED.format(subset=subset)] += sum(file.parent.name == subset for file in files)
            selection.remarks.append(WITHOUT.format(subset=subset))
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise CxrError(f"list of labels, {subset}, line {number}: must be patient, file, label and source, separated by blanks")
            label = LABELS.get(match["label"].lower())
            if label is None:
                selection.left_out[UNCLEAR] += 1
                continue
            source = SPELLINGS.get(match["source"] or "", match["source"] or "")
            patient = match["patient"] or ""
            selection.candidates.append(
                Candidate(
                    path=f"{subset}/{match['file']}",
                    label=label,
                    patient_id=f"{source or 'covidx'}-{patient}" if patient else "",
                    source=source or "covidx",
                    license=f"terms of {source} (COVID-Net, docs/COVIDx.md)" if source else "",
                    subset=f"covidx-{subset}",
                )
            )
    return selection


def _labels(walk: Walk, bases: list[str], subset: str, folder: Path) -> str:
    """Returns a list of labels; of several the one of the newest version that has the three classes (A, or none of the two letters)."""
    pattern = re.compile(_LIST.format(subset=subset), re.IGNORECASE)
    names = sorted(filter(pattern.fullmatch, bases), key=_preference)
    if not names:
        return ""
    copied = found(walk, lambda entry: entry.base == names[-1], folder)
    assert copied is not None
    return copied[0].read_text(encoding="utf-8", errors="replace")


def _preference(name: str) -> tuple[bool, int]:
    version = re.search(r"covidx(\d*)([ab]?)\.", name.lower())
    if version is None:  # train.txt of Kaggle: two classes
        return False, 0
    return version[2] != "b" and version[1] != "6", int(version[1] or 1)  # version 6 has two classes


def parts(collection: Collection, selection: Selection, downloads: Path) -> list[Part]:
    """Returns the one archive."""
    return [(remote, selection.candidates) for remote in collection.archives]

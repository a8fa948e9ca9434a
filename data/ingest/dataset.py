"""What an ingested folder says about itself: dataset.json."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pydantic import Field, field_validator

from cxr.core import features
from cxr.core.errors import CxrError, MissingFileError
from cxr.core.strict_model import StrictModel
from cxr.data.ingest.ingest_config import Ingest

DATASET = "dataset.json"
RECORDS_VERSION = 4  # raise it when the same images make other records


class Dataset(StrictModel):
    """The content of a folder that `cxr ingest` wrote."""

    records_version: int = RECORDS_VERSION
    source: str = Field(description="folder or manifest it was made of")
    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]] = Field(description="split: class: images")
    patients: dict[str, int] = Field(description="split: patients")
    all_patients: int | None = Field(None, description="patients in all splits together, each once; null: an older version did not count")
    class_patients: dict[str, dict[str, int]] = Field({}, description="split: class: patients; empty: an older version did not count them")
    own_patients: int = Field(description="images without a patient id, each counted as a patient of its own")
    key_id: str = Field("", description="tells the key of the patients' pseudonyms from others; empty: an older version did not say")
    rejects: int
    reject_reasons: dict[str, int] = Field({}, description="reason: files left out for it")
    doubts: dict[str, int] = Field(
        {}, description="what speaks against a frontal chest X-ray (DICOM header, view, grey levels, sides): images"
    )
    duplicates: int = Field(description="pictures that stand under more than one path")
    near_duplicates: int = Field(0, description="radiographs that stand under more than one path, in copies that differ")
    joined_patients: int = Field(0, description="patients who count as another one, as they share a radiograph")
    label_conflicts: int = Field(0, description="radiographs that stood under several labels")
    left_out: int = Field(0, description="images left out for a label conflict")
    other_rows: int | None = Field(None, description="rows of the manifest that `where` left out; null: an older version did not count")
    warnings: tuple[str, ...] = ()
    seed: int
    synthetic: bool = Field(description="at least one image is synthetic: nothing medical can be learnt from it")
    config: Ingest
    fingerprint: str = Field(description="SHA-256 of the request and of the content of the source's files")
    state: str = Field("", description="the same of the files' sizes and times, which are quickly compared: equal state, equal content")
    files: dict[str, int] = Field(description="records file: bytes")
    versions: dict[str, str]

    @field_validator("files")
    @classmethod
    def _check_files(cls, files: dict[str, int]) -> dict[str, int]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\0" in name:
                raise ValueError("a records file outside the folder")
        return files

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that hold images, in the order of features.SPLITS."""
        return tuple(split for split in features.SPLITS if sum(self.counts.get(split, {}).values()))

    def fewest_patients(self, split: str) -> int:
        """Returns how many patients that class of a split has that has the fewest, of those with images; 0: there is no such split.

        Of records of an older version: how many it has at most.
        """
        return min((count for count in (self.class_patients or self.counts).get(split, {}).values() if count), default=0)

    @property
    def images(self) -> int:
        """Number of images in all splits."""
        return sum(sum(classes.values()) for classes in self.counts.values())


def read_dataset(folder: Path) -> Dataset:
    """Reads what `cxr ingest` wrote.

    Raises:
      CxrError: The folder is no output of `cxr ingest`.
    """
    try:
        return Dataset.read(folder / DATASET, "ingest again with --overwrite")
    except MissingFileError:
        raise CxrError(f"{folder}: holds no {DATASET}; make it with `cxr ingest SOURCE {folder}`") from None

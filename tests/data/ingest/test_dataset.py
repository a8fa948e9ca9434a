import json

import pytest

from cxr.core.errors import CxrError
from cxr.core.features import CLASS_NAMES
from cxr.data.ingest.dataset import DATASET, Dataset, read_dataset
from cxr.data.ingest.ingest_config import Ingest

KNOWN = {
    **{"source": "in", "class_names": CLASS_NAMES, "counts": {}, "patients": {}, "own_patients": 0, "rejects": 0, "duplicates": 0},
    **{"seed": 1, "synthetic": False, "config": Ingest().model_dump(mode="json"), "fingerprint": "", "versions": {}},
}


@pytest.mark.parametrize("name", ["test/../../other.gz", "/etc/passwd", "..", "test/\0.gz"])
def test_records_that_lie_elsewhere_are_refused(tmp_path, name):
    (tmp_path / DATASET).write_text(json.dumps(KNOWN | {"files": {"test/a.gz": 1}}))
    assert read_dataset(tmp_path).files == {"test/a.gz": 1}
    (tmp_path / DATASET).write_text(json.dumps(KNOWN | {"files": {name: 1}}))
    with pytest.raises(CxrError, match="records file outside the folder"):
        read_dataset(tmp_path)


def test_the_class_that_has_the_fewest_patients():
    counts = {"train": {"covid19": 9, "pneumonia": 4, "normal": 9}, "test": {"covid19": 3, "pneumonia": 0, "normal": 0}}
    old = Dataset.model_validate({**KNOWN, "files": {}, "counts": counts})
    assert [old.fewest_patients(split) for split in ("train", "val", "test")] == [4, 0, 3]  # at most
    patients = {"train": {"covid19": 9, "pneumonia": 2, "normal": 1}, "test": {"covid19": 2, "pneumonia": 0, "normal": 0}}
    new = Dataset.model_validate({**KNOWN, "files": {}, "counts": counts, "class_patients": patients})
    assert [new.fewest_patients(split) for split in ("train", "val", "test")] == [1, 0, 2]

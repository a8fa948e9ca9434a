import pydantic
import pytest

from cxr.core import features
from cxr.data.ingest.ingest_config import Ingest

PAPER = {
    "train": {"covid19": 100, "pneumonia": 74, "normal": 74},
    "test": {"covid19": 50, "pneumonia": 20, "normal": 20},
}


def test_paper_protocol():
    config = Ingest(per_class=PAPER, split_by="image")
    assert config.split_names == ("train", "test")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"per_class": PAPER}, "split_by: image"),
        ({"per_class": {"test": PAPER["test"]}, "split_by": "image"}, "train"),
        ({"per_class": {"train": {"covid19": 3}}, "split_by": "image"}, "one number for each"),
        ({"splits": {"train": 0.5, "val": 0.1, "test": 0.1}}, "sum to 0.7"),
        ({"class_names": ("a", "a")}, "name of its own"),
        ({"class_names": ("a",)}, "class_names: there must be two or more"),
        ({"max_pixels": features.MAX_PIXELS + 1}, "max_pixels"),  # training could not decode what ingest let through
        ({"nonsense": 1}, "nonsense"),
        ({"only_split": "test", "per_class": PAPER, "split_by": "image"}, "only_split"),
        ({"only_split": "all"}, "only_split"),
    ],
)
def test_what_is_refused(values, match):
    with pytest.raises(pydantic.ValidationError, match=match):
        Ingest(**values)


def test_one_split():
    assert Ingest(only_split="val").split_names == ("val",)


def test_splits_without_validation():
    assert Ingest(splits={"train": 0.8, "val": 0, "test": 0.2}).split_names == ("train", "test")

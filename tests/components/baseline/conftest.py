"""Pushed versions, each a description and image keys beside an empty graph: all that the rule looks at."""

import pytest

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import RECORD, Comparison, PushRecord
from cxr.trainer import model_info
from cxr.trainer.training_data import image_keys, save_training_images

CLASSES = ("covid19", "pneumonia", "normal")


class Models:
    """The folder of one model's versions."""

    def __init__(self, folder):
        self.folder = folder
        self.pointer = folder / champion.POINTER

    def version(self, number, *, seen="abc", classes=CLASSES, baseline=None, floor=None, record=True, **info):
        """Writes a version and points at it."""
        folder = self.folder / str(number)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(f"graph {number}")
        known = {"synthetic": False, "preprocessing": {"normalization": "none"}, **info}
        model_info.write_info(str(folder), {"name": "mobilenet", "class_names": classes, "image_size": 32, **known})
        if seen is not None:
            save_training_images(str(folder), image_keys(seen))
        if record:
            (folder / RECORD).write_text(
                PushRecord(
                    version=str(number),
                    pushed_at="2026-11-25T00:00:00+00:00",
                    pipeline="small",
                    run="r",
                    source=f"/runs/{number}",
                    fingerprint=f"f{number}",
                    split="test",
                    metrics={"accuracy": 0.8},
                    baseline=baseline and Comparison(version=str(baseline), metrics={"accuracy": 0.81}),
                    floor=str(floor or number),
                ).model_dump_json()
            )
        before = champion.read(self.pointer)
        with champion.locked(self.folder) as pointer:
            pointer.write(str(number), f"f{number}", f"/runs/{number}", expected=before.version if before else None)
        return folder


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path / "serving_models" / "mobilenet")

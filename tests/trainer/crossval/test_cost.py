import numpy as np
import pytest

from cxr.core.spans import about
from cxr.trainer.crossval.cost import Job, TimeLeft, announced, jobs
from cxr.trainer.crossval.experiment import deal_schemes
from cxr.trainer.crossval.fold_run import to_train
from cxr.trainer.crossval.subject import Subject
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Model
from cxr.trainer.splits import Split

IMAGES = 36
HEAD = Model.model_validate({"backbone": "MobileNet", "weights": "none", "head_training": {"epochs": 3}})
TUNED = Model.model_validate({"backbone": "MobileNet", "weights": "none", "head_training": {"epochs": 3}, "fine_tuning": {"epochs": 5}})


@pytest.fixture
def images() -> Split:
    unknown = np.full(IMAGES, "one")
    numbers = np.arange(IMAGES)
    patients = np.array([f"patient{number // 2}" for number in numbers])
    return Split(EncodedImages.of([b""] * IMAGES), numbers // 2 % 3, numbers.astype(str), patients, unknown, unknown)


def subject(images, **models) -> Subject:
    return Subject(
        models=models,
        ensemble=None,
        classes=3,
        tables={},
        labels=images.labels,
        sources=images.sources,
        keys=dict.fromkeys(models, ""),
        code="",
    )


def test_every_fold_trains_each_network_and_what_is_finished_costs_nothing(images, tmp_path):
    subjects = subject(images, tuned=TUNED, head=HEAD)
    schemes, _ = deal_schemes(images, 3, seed=0)
    left = jobs(subjects, schemes, 0, tmp_path, {"tuned": 0.5, "head": 0.1})
    assert [(job.fold, job.name) for job in left] == [(fold, name) for fold in range(1, 7) for name in ("tuned", "head")]
    assert {job.seconds for job in left if job.name == "head"} == {0}
    (member, _) = to_train(subjects, schemes[0].folds[0], schemes[0].groups, 0, tmp_path)
    train, stop = len(member.part.train), len(member.part.stop)
    assert (train + stop, len(member.part.test)) == (24, 12)
    assert left[0].seconds == 0.5 * (5 * (3 * train + stop) + 36)  # five epochs, then the answers to all images

    text = announced(subjects, left, 6)
    assert text.startswith("6 whole networks to train (6 folds × 1 model")
    assert "tuned: up to 3 epochs of the head, then up to 5 of the whole network" in text
    assert about(sum(job.seconds for job in left)) in text
    member.file(tmp_path).touch()
    assert len(jobs(subjects, schemes, 0, tmp_path, {"tuned": 0.5, "head": 0.1})) == len(left) - 1
    assert announced(subject(images, head=HEAD), [Job(1, "head", 0.0)], 6) == ""


def test_the_time_left_is_corrected_by_what_was_measured():
    now = 0.0
    clock = TimeLeft([Job(1, "a", 100), Job(1, "head", 0), Job(2, "a", 300)], lambda: now)
    assert clock.at(1, "a") == ", about 7 min left"
    now = 200.0  # twice as slow as estimated
    assert clock.at(2, "a") == ", about 10 min left"
    assert clock.at(3, "a") == ""

import pytest
from tfx.types import standard_artifacts

from cxr.components.baseline.strategy import LatestOtherBlessedModel


def model(number):
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


def blessing(number, of, blessed):
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = number
    artifact.set_int_custom_property("current_model_id", of)
    artifact.set_int_custom_property("blessed", int(blessed))
    return artifact


@pytest.mark.parametrize(
    ("candidate", "blessings", "expected"),
    [
        (9, {}, None),  # first run
        (9, {9: True}, None),  # an identical second run: never its own baseline
        (9, {1: True, 2: True, 9: True}, 2),  # the latest of the others
        (1, {1: True, 2: True}, 2),  # back to an earlier configuration, its trainer served from the cache
        (9, {1: True, 2: False}, 1),  # a refused one is no baseline
    ],
)
def test_chooses_the_latest_other_blessed_model(candidate, blessings, expected):
    resolved = LatestOtherBlessedModel().resolve_artifacts(
        None,
        {
            "candidate": [model(candidate)],
            "model": [model(number) for number in (2, 9, 1)],
            "model_blessing": [blessing(20 + of, of, blessed) for of, blessed in blessings.items()],
        },
    )
    assert [artifact.id for artifact in resolved["model"]] == ([] if expected is None else [expected])
    assert [artifact.id for artifact in resolved["model_blessing"]] == ([] if expected is None else [20 + expected])
    assert resolved["candidate"] == []

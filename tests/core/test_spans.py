import pytest

from cxr.core.spans import about, span


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (130, "2 min"), (7_300, "2 h"), (86_400, "24 h"), (200_000, "2 days")]
)
def test_an_estimate(seconds, text):
    assert about(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.25, "4.2 s"), (61, "1 min 01 s"), (3599.6, "1 h 00 min"), (108_000, "30 h 00 min")])
def test_a_measured_duration(seconds, text):
    assert span(seconds) == text

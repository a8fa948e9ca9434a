from datetime import UTC, datetime, timedelta, timezone

import pytest

from cxr.core.spans import about, moment, seconds_between, span

HERE = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (130, "2 min"), (7_300, "2 h"), (86_400, "24 h"), (200_000, "2 days")]
)
def test_an_estimate(seconds, text):
    assert about(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.25, "4.2 s"), (61, "1 min 01 s"), (3599.6, "1 h 00 min"), (108_000, "30 h 00 min")])
def test_a_measured_duration(seconds, text):
    assert span(seconds) == text


def test_a_moment_says_its_time_zone():
    assert moment(datetime(2026, 11, 25, 10, 32, 9, tzinfo=HERE)) == "2026-11-25 10:32+01:00"


def test_clocks_of_two_zones_and_one_that_was_set_back():
    began, ended = datetime(2026, 11, 25, 10, 0, tzinfo=HERE), datetime(2026, 11, 25, 9, 1, tzinfo=UTC)
    assert seconds_between(began, ended) == 60
    assert seconds_between(ended, began) is None

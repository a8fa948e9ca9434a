import pytest

from cxr.core.errors import CxrError
from cxr.data.ingest.rows import parse_age, parse_sex, uniform

AGES = {"54": 54, "": None, " 0 ": 0, "120": 120, "054Y": 54, "006M": 0.5, "unknown": None, "63.5": 63.5, "63,5": 63.5}


@pytest.mark.parametrize(("text", "age"), AGES.items())
def test_age(text, age):
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["121", "-1", "old", "nan", "inf", "1980-01-01", "Y"])
def test_no_age(text):
    with pytest.raises(CxrError, match="age") as error:
        parse_age(text)
    assert "1980" not in str(error.value)  # a date of birth is nobody's business


def test_sex():
    assert [parse_sex(text) for text in ("m", "Female", "O", "", "U")] == ["M", "F", "O", "unknown", "unknown"]
    with pytest.raises(CxrError, match="sex"):
        parse_sex("W")


def test_uniform_is_uniform_and_the_same_everywhere():
    values = [uniform(2021, str(k)) for k in range(4000)]
    assert 0 <= min(values) < max(values) < 1
    assert abs(sum(values) / len(values) - 0.5) < 0.02
    assert uniform(2021, "a") == uniform(2021, "a") != uniform(2022, "a")
    assert uniform(2021, "patient:cohen-17") == pytest.approx(UNIFORM_OF_COHEN_17, abs=0)  # a change would move every patient


UNIFORM_OF_COHEN_17 = 0.8611620785310251

from __future__ import annotations

from cxr.cli.run import told
from cxr.pipeline.config_differences import ABSENT, differences, from_shipped, lines
from cxr.pipeline.pipeline_config import load


def test_a_shipped_configuration_differs_in_nothing() -> None:
    assert from_shipped(load("cpu")) == ("cpu", ())
    assert told(load("cpu"), "cpu", overridden=False) == ["configuration: cpu; nothing differs from the shipped one"]


def test_what_was_changed_is_named_with_both_values() -> None:
    said = told(load("cpu", ["gate.tolerance=0", "models.mobilenet.head.dropout=0.5", "ensemble.folds=2"]), "cpu", overridden=True)
    assert said[0] == "configuration: cpu; what differs from the shipped one (cxr config cpu with the same changes prints all of it):"
    assert said[1:] == ["  models.mobilenet.head.dropout: 0.0 → 0.5", "  ensemble.folds: 3 → 2", "  gate.tolerance: 0.02 → 0.0"]


def test_a_configuration_of_another_name_is_read_beside_the_nearest() -> None:
    config = load("cpu", ["name=mine", "description=of my own", "gate.tolerance=0"])
    shipped, changed = from_shipped(config)
    assert shipped == "cpu"
    assert [one.key for one in changed] == ["gate.tolerance"]
    said = told(config, "mine.yaml", overridden=False)
    assert said[0] == "configuration: mine.yaml; what differs from the shipped cpu (cxr config mine.yaml prints all of it):"


def test_keys_of_one_side_only_and_sections_in_place_of_null() -> None:
    found = differences({"a": {"b": 1}, "c": None}, {"a": {"b": 1, "d": [2]}, "c": {"e": 3}})
    assert [(one.key, one.first, one.second) for one in found] == [("a.d", ABSENT, "[2]"), ("c", "null", "{e: 3}")]


def test_the_choice_of_rows_can_name_people() -> None:
    (found,) = differences({"data": {"where": {"patient_id": "4711"}}}, {"data": {"where": {}}})
    assert found.key == "data.where.patient_id"
    assert "4711" not in found.first + found.second
    (found,) = differences({"data": {"where": {"patient_id": "4711"}}}, {"data": {}})  # of an older version
    assert found.key == "data.where"
    assert "4711" not in found.first + found.second
    (found,) = differences({}, {"data": {"where": {"patient_id": "4711"}, "seed": 3}})  # of one that cannot be read
    assert "seed: 3" in found.second
    assert "4711" not in found.second


def test_what_names_a_place_is_hidden_as_in_the_configuration_of_the_report() -> None:
    """The table of settings that differ stands on the same page; a relative folder may hold blanks and no slash."""
    given = ["schema_file=schema of Anna Meyer", "feature_cache.folder=Anna Meyer cache", "models.mobilenet.weights=Meyer weights"]
    found = differences(load("demo").model_dump(mode="json"), load("demo", given).model_dump(mode="json"))
    assert {one.key: one.second for one in found} == {setting.partition("=")[0]: "(path)" for setting in given}
    assert next(one.first for one in found if one.key.endswith("weights")) == "none"


def test_a_section_is_cut_short_in_a_line_and_kept_in_full() -> None:
    (found,) = differences({"models": {"mobilenet": {"head": "x" * 90}}}, {"models": {}})
    assert len(found.first) > 90
    (line,) = lines([found])
    assert len(line) < 100
    assert line.startswith("models.mobilenet: {head: xxx")
    assert line.endswith(" … → –")


def test_many_lines_are_counted() -> None:
    found = differences({str(n): n for n in range(9)}, {})
    assert lines(found, 3) == ["0: 0 → –", "1: 1 → –", "2: 2 → –", "… and 6 more"]

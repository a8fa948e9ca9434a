"""A table of predictions."""

import json

import numpy as np
import pytest
from killed import killed_at
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import exit_codes
from cxr.core.errors import CxrError, UsageError
from cxr.pipeline.outside.answers import measure
from cxr.pipeline.outside.evaluate import measured
from cxr.pipeline.outside.predictions import read_predictions

CLASSES = ("covid19", "pneumonia", "normal")
HEADER = "label,covid19,pneumonia,normal,patient_id,sex,age"


def read(tmp_path, *lines, header=HEADER):
    file = tmp_path / "answers.csv"
    file.write_text("\n".join([header, *lines]) + "\n")
    return read_predictions(file, CLASSES)


def test_answers_and_facts(tmp_path):
    answers, notes = read(tmp_path, "normal;0.1;0.2;0.7;A;f;054Y", header=HEADER.replace(",", ";"))
    assert notes == ()
    assert answers[0].label == "normal"
    assert answers[0].probabilities.tolist() == pytest.approx([0.1, 0.2, 0.7])
    assert answers[0].patient == "A"
    assert answers[0].facts == {"sex": "F", "age_band": "40-64"}


def test_a_view_is_one_slice_however_it_is_spelled(tmp_path):
    """As ingest does: `pa` and `PA` had figures of their own."""
    lines = [f"normal,0.1,0.2,0.7,{view}" for view in ("pa", "PA", "Pa", "")]
    answers, _ = read(tmp_path, *lines, header="label,covid19,pneumonia,normal,view")
    assert [answer.facts.get("view") for answer in answers] == ["PA", "PA", "PA", None]


def test_without_patients_every_row_is_one(tmp_path):
    answers, notes = read(tmp_path, "normal,0.1,0.2,0.7", "normal,0.1,0.2,0.7", header="label,covid19,pneumonia,normal")
    assert len({answer.patient for answer in answers}) == 2
    assert "no column 'patient_id'" in notes[0]


@pytest.mark.parametrize("with_column", [False, True])
def test_rows_without_patients_have_the_same_intervals_in_any_order(tmp_path, with_column):
    random = np.random.default_rng(0)
    lines = []
    for number, shares in enumerate(random.dirichlet(np.ones(3), 60).round(4)):
        shares[2] = 1 - shares[:2].sum()
        lines.append(f"{CLASSES[number % 3]},{','.join(f'{share:.4f}' for share in shares)},,{'mf'[number % 2]},")
    lines[10] = lines[40]  # alike in all
    header = HEADER
    if not with_column:
        lines, header = [line.replace(",,", ",", 1) for line in lines], header.replace("patient_id,", "")
    found = [
        measure(read(tmp_path, *some, header=header)[0], CLASSES, 15) for some in (lines, [lines[at] for at in random.permutation(60)])
    ]
    assert found[0].patients == 60
    assert found[0].log_loss_interval.low < found[0].log_loss < found[0].log_loss_interval.high
    for name in ("accuracy_interval", "balanced_accuracy_interval", "log_loss_interval"):
        first, second = (getattr(one, name) for one in found)
        assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-6)
    slices = [{(part.feature, part.value): part.accuracy_interval for part in one.slices} for one in found]
    assert slices[0] == slices[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("healthy,0.1,0.2,0.7,SECRET,,", "line 3: column 'label' must be one of covid19, pneumonia, normal"),
        ("normal,0.1,,0.9,SECRET,,", "line 3: column 'pneumonia' must be a probability from 0 to 1"),
        ("normal,0.1,nan,0.9,SECRET,,", "line 3: column 'pneumonia' must be a probability from 0 to 1"),
        ("normal,10,20,70,SECRET,,", "line 3: column 'covid19' must be a probability from 0 to 1"),
        ("normal,0.9,0.9,0.9,SECRET,,", "line 3: the columns covid19, pneumonia, normal sum to 2.7, not to 1"),
        ("normal,0.1,0.2,0.7,SECRET,x,", "line 3: sex must be M, F, O or empty"),
        ("normal,0.1,0.2,0.7,SECRET", "line 3: has not 7 fields as the header does, but 5"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path, line, message):
    with pytest.raises(CxrError) as error:
        read(tmp_path, "normal,0.1,0.2,0.7,A,,", line)
    assert f"answers.csv {message}" in str(error.value)
    assert "SECRET" not in str(error.value)


def test_files_without_what_is_needed(tmp_path):
    with pytest.raises(CxrError, match="no column 'normal'; the header needs label and covid19 and .*; for other classes set --classes$"):
        read(tmp_path, header="label,covid19,pneumonia")
    with pytest.raises(CxrError, match="holds no row"):
        read(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        read_predictions(tmp_path / "nope.csv", CLASSES)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("label,a,b,patient_id\n" + "a,0.9,0.1,1\n" * 3 + "b,0.8,0.2,2\n")
    result = CliRunner().invoke(app, ["evaluate", "--predictions", "p.csv", "--classes", "a,b", "--json", "found.json"])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["evaluation"]["accuracy"], found["evaluation"]["patients"], found["model"]) == (0.75, 2, None)
    assert found["evaluation"]["confusion_matrix"] == [[3, 0], [1, 0]]


def test_a_patient_with_most_of_the_rows_is_spoken_of(tmp_path):
    rows = [f"{CLASSES[number % 3]},0.5,0.3,0.2,{'SECRET' if number < 20 else number},," for number in range(40)]
    answers, notes = read(tmp_path, *rows)
    (note,) = measured(answers, CLASSES, 15, notes=notes).notes
    assert note == "one patient has 20 of the 40 images: every figure depends on this patient, and its interval is wide"
    assert measured(answers[20:], CLASSES, 15).notes == ()


@pytest.mark.slow
def test_an_evaluation_that_is_killed_at_any_moment_leaves_the_figures_whole_and_the_next_ends(tmp_path):
    lines = [f"{CLASSES[n % 3]},{'0.5,0.3,0.2' if n % 2 else '0.1,0.1,0.8'},p{n}" for n in range(12)]
    (table := tmp_path / "answers.csv").write_text("\n".join(["label,covid19,pneumonia,normal,patient_id", *lines]) + "\n")
    found, step, seen = tmp_path / "found.json", 0, set()

    def evaluate():
        done = CliRunner().invoke(app, ["evaluate", "--predictions", str(table), "--json", str(found)])
        assert done.exit_code == exit_codes.OK, done.exception

    evaluate()
    whole = found.read_bytes()
    found.write_bytes(before := b"of an earlier evaluation")
    while killed_at(step, evaluate):
        seen.add(left := found.read_bytes())
        assert left in (before, whole)
        evaluate()
        assert found.read_bytes() == whole
        found.write_bytes(before)
        step += 1
    assert before in seen
    assert step > 3

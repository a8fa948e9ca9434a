"""The audit on tables made for the purpose: what tells the class, and what must not seem to."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from cxr.cli.audit import audit
from cxr.components.metrics.tally import Tally
from cxr.core.errors import CxrError, UsageError
from cxr.core.intervals import Figure, proportion_interval
from cxr.data.audit.audit import _verdict, figures_of, run_audit
from cxr.data.audit.audit_config import Audit
from cxr.data.audit.conclusions import conclusion
from cxr.data.audit.records import Tables, some_patients
from cxr.data.audit.result import AuditFigures, AuditResult, load_draws
from cxr.data.audit.tables import SHORTCUTS
from cxr.data.ingest.dataset import DATASET

pytestmark = pytest.mark.seconds

CLASSES = ("a", "b", "c")
PATIENTS, IMAGES_EACH = 60, 3


def tables(**given):
    """Patients of three classes in turn, three images each; every fifth one is in the test split."""
    patients = np.repeat(np.arange(PATIENTS), IMAGES_EACH)
    labels = patients % 3
    names = np.array([f"p{patient}".encode() for patient in patients], object)
    splits = np.where(patients // 3 % 5 == 0, "test", "train")
    return Tables(labels, names, splits, {name: make(labels, patients) for name, make in given.items()})


def sources(labels, patients):
    return np.array([[f"hospital {label}"] for label in labels], object)


def person(labels, patients):
    """Tells whose image it is, and nothing of the class: only who mixes a patient's images finds something in it."""
    return np.random.default_rng(0).normal(size=(PATIENTS, 8))[patients].astype(np.float32)


def same(labels, patients):
    return np.full((len(labels), 1), "jpeg", object)


def shifted(labels, patients):
    """Brighter pictures of class b."""
    return (np.random.default_rng(1).normal(size=(len(labels), 2)) + 6.0 * (labels == 1)[:, np.newaxis]).astype(np.float32)


def weak(number):
    """Returns a word that one of two has in three of four images of class a, in one of three of the others: alone it tells little."""

    def words(labels, patients):
        drawn = np.random.default_rng(number).random(len(labels))
        return np.where(drawn < np.where(labels == 0, 0.75, 0.35), "yes", "no").astype(object)[:, np.newaxis]

    return words


def a_little_larger(labels, patients):
    return (np.random.default_rng(7).normal(size=(len(labels), 3)) + (labels == 0)[:, np.newaxis]).astype(np.float32)


@pytest.fixture(scope="module")
def found():
    return run_audit(tables(source=sources, grey_histogram=person, file_type=same, brightness=shifted, whole_picture=shifted),
                     CLASSES, Audit(folds=3), "test")  # fmt: skip


def test_what_tells_every_class_is_found(found):
    source = found[0].shortcuts[0]
    assert source.name == "source"
    for measured in (source.folds, source.gate):
        assert measured.balanced_accuracy.value == measured.accuracy.value == 1
        assert 0.5 < measured.balanced_accuracy.low < 1  # of so many patients nobody knows better
    assert (source.folds.patients, source.gate.images) == (PATIENTS, 36)
    assert sorted(source.clear_classes) == list(CLASSES)
    first, second, third = source.clear_classes
    assert source.verdict.startswith(f"{first}, {second} and {third} can be predicted from the source alone: AUC 1.000 (")
    assert source.verdict.count("1.000 (") == len(CLASSES)  # the AUC of each


def test_a_patients_images_never_stand_on_both_sides(found):
    person = next(result for result in found[0].shortcuts if result.name == "grey_histogram")
    assert person.folds.balanced_accuracy.value < 0.55
    assert person.clear_classes == ()


def test_what_tells_one_class_only_is_found_though_its_balanced_accuracy_is_low(found):
    bright = next(result for result in found[0].shortcuts if result.name == "brightness")
    assert bright.folds.balanced_accuracy.value < 0.8
    assert bright.clear_classes == ("b",)
    told = bright.folds.auc["b"]
    assert told.value == pytest.approx(1)
    assert told.low == pytest.approx(proportion_interval(1.0, PATIENTS // 3).low)  # no draw differs: what so many patients can tell


def test_what_is_the_same_for_all_tells_nothing(found):
    constant = next(result for result in found[0].shortcuts if result.name == "file_type")
    assert constant.values == 1
    assert constant.folds.balanced_accuracy.value == pytest.approx(1 / 3)
    assert constant.folds.auc["a"].value == 0.5
    assert constant.verdict == "the file type: the same for all images"


def test_references_are_neither_best_nor_found(found):
    assert found[0].ranked[0].name == "source"
    assert [result.name for result in found[0].clear] == ["source", "brightness"]
    assert next(result for result in found[0].shortcuts if result.name == "whole_picture").clear_classes == ("b",)


def test_metadata_that_tell_little_alone_tell_a_class_together():
    alone = {name: weak(number) for number, name in enumerate(("source", "file_type", "view", "sex_and_age"))}
    data = tables(**alone, size=a_little_larger, brightness=person, grey_histogram=person)
    result, draws = run_audit(data, CLASSES, Audit(folds=3), "test")
    by_name = {found.name: found for found in result.shortcuts}
    assert not any(by_name[name].clear_classes for name in alone)
    told = {found.name: found.folds.auc["a"].value or 0.0 for found in result.shortcuts if found.folds}
    assert (by_name["metadata"].clear_classes, by_name["metadata"].columns) == (("a",), 4 + 3)
    assert by_name["metadata_and_grey"].columns == 4 + 3 + 8 + 8
    assert told["metadata"] > 0.03 + max(told[name] for name in (*alone, "size"))
    assert "metadata" in draws


def test_without_one_of_its_tables_a_joint_shortcut_is_left_out(found):
    assert not {"metadata", "metadata_and_grey"} & {result.name for result in found[0].shortcuts}


@pytest.mark.parametrize(
    ("value", "low", "clear"),
    [
        (0.84, 0.81, True),
        (0.84, 0.79, False),
        (0.9, 0.65, True),
        (0.9, 0.64, False),
        (0.89, 0.7, False),
        (1.0, 0.796, True),
        (1.0, 0.5, False),
        (0.9, None, False),
    ],
)
def test_what_tells_a_class_clearly(value, low, clear):
    auc = {"a": Figure(value=value, low=low, high=low and 1.0), "b": Figure(value=0.5, low=0.4, high=0.6)}
    found = AuditFigures(images=30, patients=30, accuracy=Figure(value=None), balanced_accuracy=Figure(value=None), auc=auc)
    names, _, said = _verdict(SHORTCUTS[0], 2, found, Audit(), questions=1)
    assert names == (("a",) if clear else ())
    assert ("a can be predicted from" in said) == (low is not None and low > 0.5)
    assert ("but not clearly" in said) == (low is not None and low > 0.5 and not clear)


@pytest.mark.parametrize(("low", "questions", "said"), [(0.51, 1, True), (0.51, 30, False), (0.57, 30, True), (None, 1, False)])
def test_one_of_many_aucs_must_lie_further_above_chance(low, questions, said):
    auc = {"a": Figure(value=0.65, low=low, high=low and 0.75)}
    found = AuditFigures(images=30, patients=30, accuracy=Figure(value=None), balanced_accuracy=Figure(value=None), auc=auc)
    names, hinted, sentence = _verdict(SHORTCUTS[0], 2, found, Audit(), questions)
    assert (names, hinted) == ((), ("a",) if said else ())
    assert sentence.startswith("a can be predicted" if said else "no class can be predicted")
    assert ("alone, but not clearly: AUC" in sentence) == said
    assert sentence.endswith(f": no AUC is significantly above 0.5 (Bonferroni correction for {questions} AUCs)") != said


def test_a_class_of_few_patients_that_is_told_without_a_mistake_is_clear():
    """Fifteen patients of one class, all from one hospital and nobody else; or one more from there who has another class."""
    found = []
    for others in (0, 1):
        labels = np.r_[np.zeros(15, int), np.ones(60, int)]
        source = np.where(np.arange(75) < 15 + others, "a", "b").astype(object)[:, np.newaxis]
        names = np.array([f"p{patient}".encode() for patient in range(75)], object)
        result, _ = run_audit(Tables(labels, names, np.full(75, "train"), {"source": source}), CLASSES[:2], Audit(folds=3), "test")
        (shortcut,) = result.shortcuts
        assert "a" in shortcut.clear_classes
        assert shortcut.folds
        found.append(shortcut.folds.auc["a"])
    perfect, almost = found
    assert perfect.value == 1
    assert (perfect.low or 0) > (almost.low or 0)


def test_what_tells_something_and_nothing_clearly_is_said_beside_exit_code_0():
    """A mark on three of five pictures of a class, and on one of twenty others."""

    def marked(labels, patients):
        return (np.random.default_rng(3).random(len(labels)) < np.where(labels == 0, 0.6, 0.05)).astype(np.float32)[:, np.newaxis]

    result, _ = run_audit(tables(marks=marked), CLASSES, Audit(folds=3), "test")
    assert ([found.name for found in result.hints], result.clear) == (["marks"], ())
    assert "exit code 0); shortcuts that predict one, but not clearly: 1 (" in conclusion(result)
    nothing, _ = run_audit(tables(marks=person), CLASSES, Audit(folds=5), "test")
    assert nothing.hints == ()
    assert conclusion(nothing) == "no shortcut predicts a class clearly (exit code 0), or better than chance"


@pytest.mark.parametrize("patients", [6, 12])
def test_that_too_few_patients_can_show_nothing_is_said(patients):
    """Of four patients `left_and_right` told a class in each picture, and the last line called nothing found."""
    data = tables(marks=person, source=same)
    few = np.isin(data.patients, [f"p{number}".encode() for number in range(patients)])
    kept = {name: rows[few] for name, rows in data.tables.items()}
    small = Tables(data.labels[few], data.patients[few], data.splits[few], kept)
    result, _ = run_audit(small, CLASSES, Audit(folds=5), "val")
    assert [found.name for found in result.undecided] == ["marks"]  # `source` is the same everywhere, and that is sure
    assert conclusion(result).endswith("; undecided: 1 (intervals of their AUCs reach 0.8), more patients are needed")


def test_saved_and_read_again(found, tmp_path):
    result, draws = found
    result.save(tmp_path, draws)
    assert AuditResult.load(tmp_path) == result
    assert set(load_draws(tmp_path)) == {shortcut.name for shortcut in result.shortcuts}
    classless = json.dumps({**json.loads(result.model_dump_json()), "class_names": []})  # the page would divide by their number
    for damaged in ("{}", classless):
        (tmp_path / "audit.json").write_text(damaged)
        with pytest.raises(CxrError, match=r"audit.json: cannot be read \(class_names"):
            AuditResult.load(tmp_path)
    (tmp_path / "draws.npz").write_bytes((tmp_path / "draws.npz").read_bytes()[:-1])
    with pytest.raises(CxrError, match=r"cannot be read \(BadZipFile.*remove this folder"):
        load_draws(tmp_path)


def test_figures_are_scikit_learns_and_draws_those_of_the_evaluator():
    data = tables()
    rng = np.random.default_rng(2)
    told = rng.dirichlet(np.ones(3), len(data)) * 0.7 + 0.3 * np.eye(3)[data.labels]
    measured, draws = figures_of(told, data.labels, data.patients, CLASSES)
    predicted = told.argmax(axis=1)
    assert measured.accuracy.value == accuracy_score(data.labels, predicted)
    assert measured.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(data.labels, predicted))
    assert measured.auc["c"].value == pytest.approx(roc_auc_score(data.labels == 2, told[:, 2]))
    tally = Tally(3, 15)
    for at in rng.permutation(len(data)):  # Beam keeps no order
        tally.add(int(data.labels[at]), told[at], data.patients[at])
    theirs = np.concatenate([part.balanced_accuracy for part in tally.results().draws])
    np.testing.assert_allclose(draws, theirs, atol=1e-6)
    assert np.std(draws) > 0.01


def test_without_a_split_of_the_gate_the_folds_are_left():
    result, draws = run_audit(tables(source=sources), CLASSES, Audit(folds=3), "val")
    assert result.shortcuts[0].gate is None
    assert (draws, result.ranked) == ({}, ())
    assert result.clear


def test_a_training_split_of_one_class_ends_no_audit():
    """Logistic regression, which reads `left_and_right`, refuses one."""
    data = tables(left_and_right=shifted, brightness=shifted)
    splits = np.where((data.splits == "train") & (data.labels == 1), "train", "test")
    result, _ = run_audit(Tables(data.labels, data.patients, splits, data.tables), CLASSES, Audit(folds=3), "test")
    assert [found.gate.balanced_accuracy.value for found in result.shortcuts if found.gate] == [pytest.approx(1 / 3)] * 2


def test_records_of_one_class_are_refused(demo_records, tmp_path):
    dataset = json.loads((demo_records("none", 30) / DATASET).read_text())
    counts = {split: {**dict.fromkeys(found, 0), "normal": 3} for split, found in dataset["counts"].items()}
    (tmp_path / DATASET).write_text(json.dumps({**dataset, "counts": counts}))
    with pytest.raises(UsageError, match="all images are of one class"):
        audit(tmp_path)


def test_too_few_patients_for_folds():
    data = tables(source=sources)
    few = data.patients < b"p13"  # p0, p1, p10, p11, p12
    small = Tables(data.labels[few], data.patients[few], data.splits[few], {"source": data.tables["source"][few]})
    result, _ = run_audit(small, CLASSES, Audit(), "val")
    assert result.folds == 0
    assert result.shortcuts[0].folds is None
    assert "not measured" in result.shortcuts[0].verdict


def test_of_many_images_whole_patients_are_drawn():
    data = tables()
    kept = some_patients(np.arange(len(data)), data.patients, 100, np.random.default_rng(0))
    assert len(kept) == 99
    assert all(np.sum(data.patients[kept] == name) == IMAGES_EACH for name in set(data.patients[kept]))
    assert len(some_patients(np.arange(len(data)), data.patients, 1, np.random.default_rng(0))) == 1


@pytest.mark.parametrize("images", [11, 90, 150, 10_000])
@pytest.mark.parametrize("with_labels", [False, True])
def test_a_patient_with_many_images_neither_fills_nor_ends_the_sample(images, with_labels):
    patients = np.array([b"many"] * images + [f"p{number}".encode() for number in range(300)], object)
    labels = np.arange(len(patients)) % 3 if with_labels else None
    of_many = []
    for seed in range(40):
        kept = some_patients(np.arange(len(patients)), patients, 100, np.random.default_rng(seed), labels)
        assert 90 <= len(kept) <= 100
        assert len(set(kept)) == len(kept)
        of_many.append(int(np.sum(patients[kept] == b"many")))
    assert set(of_many) == {0, 10}


def test_of_many_images_a_rare_class_keeps_its_patients():
    labels = np.where(np.arange(9000) // 3 < 4, 0, 1)  # four patients of three thousand
    patients = np.array([f"p{number // 3}".encode() for number in range(9000)], object)
    for seed in range(5):
        kept = some_patients(np.arange(9000), patients, 300, np.random.default_rng(seed), labels)
        assert len(kept) == 300
        assert (labels[kept] == 0).sum() == 12

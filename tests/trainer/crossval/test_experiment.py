"""Folds on made-up features, which are a patient's own: what is learnt of a patient is worth nothing for others."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr.core.errors import CxrError
from cxr.core.features import TEST, TRAIN, VAL
from cxr.pipeline.code_version import FEATURES, modules_of
from cxr.trainer import predictions
from cxr.trainer.artifact import TRAIN_OOF
from cxr.trainer.calibration.settling import settle
from cxr.trainer.crossval.experiment import BY_IMAGE, BY_PATIENT, deal_schemes, run_schemes
from cxr.trainer.crossval.fold_run import LOGISTIC, fold_file, run_fold, to_train
from cxr.trainer.crossval.logistic import C, logistic_answers
from cxr.trainer.crossval.report import Collector, best_backbone, data_used
from cxr.trainer.crossval.results import measured, measurement_of
from cxr.trainer.crossval.subject import Subject
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.ensemble.fitting_data import fitting_data
from cxr.trainer.ensemble.joining import align, join
from cxr.trainer.model_config import Ensemble, FineTuning, Model, Stage
from cxr.trainer.splits import Split

CLASSES = ("covid19", "pneumonia", "normal")
PATIENTS, EACH, WIDTH = 30, 4, 400
STAGE = {"epochs": 3, "batch_size": 32, "optimizer": {"learning_rate": 0.1}}
MODEL = Model.model_validate({"backbone": "MobileNet", "weights": "none", "head_training": STAGE})


@pytest.fixture(scope="module")
def images() -> Split:
    count = PATIENTS * EACH
    return Split(
        EncodedImages.of([b""] * count),
        np.repeat(np.arange(PATIENTS) % 3, EACH),
        np.array([f"{i:064x}" for i in range(count)]),
        np.repeat([f"patient{i}" for i in range(PATIENTS)], EACH),
        np.full(count, "one"),
        np.full(count, "unknown"),
    )


@pytest.fixture(scope="module")
def own_features() -> np.ndarray:
    """One point per patient, all its images beside it; the class plays no part."""
    random = np.random.default_rng(0)
    points = np.repeat(random.normal(size=(PATIENTS, WIDTH)), EACH, axis=0)
    return (points + random.normal(scale=0.05, size=points.shape)).astype(np.float32)[np.newaxis]


def known(number: float | None) -> float:
    assert number is not None
    return number


def subject(images, tables, ensemble=None) -> Subject:
    return Subject(
        models=dict.fromkeys(tables, MODEL),
        ensemble=ensemble,
        classes=3,
        tables=tables,
        labels=images.labels,
        sources=images.sources,
        keys={name: name for name in tables},
        code="",
    )


@pytest.mark.slow
def test_leakage_shows_by_image_and_not_by_patient(images, own_features, tmp_path):
    schemes, skipped = deal_schemes(images, 2, seed=0)
    assert [scheme.name for scheme in schemes] == [BY_PATIENT, BY_IMAGE]
    assert set(skipped) == {"one"}
    subjects = subject(images, {"mobilenet": own_features})
    told: list[tuple[str, int, int]] = []
    (tmp_path / "out").mkdir()
    collector = Collector(images, CLASSES, tmp_path / "out")
    for done in run_schemes(subjects, schemes, 0, tmp_path / "kept", lambda *step: told.append(step)):
        collector.add(*done)
    results = collector.results()
    logistic = LOGISTIC.format(model="mobilenet")
    assert set(results[BY_PATIENT]) == {"mobilenet", logistic}
    assert known(results[BY_IMAGE][logistic].figure("accuracy").value) > 0.8
    assert known(results[BY_PATIENT][logistic].figure("accuracy").value) < 0.6
    for name in ("mobilenet", logistic):
        leak = collector.leakage()[name]
        assert known(leak.low) > 0.1
        by_image, by_patient = (known(results[scheme][name].figure("accuracy").value) for scheme in (BY_IMAGE, BY_PATIENT))
        assert leak.value == pytest.approx(by_image - by_patient, abs=1e-5)
    other = {**results[BY_PATIENT], LOGISTIC.format(model="other"): results[BY_IMAGE][logistic]}  # right more often
    for models in (["mobilenet", "other"], ["other", "mobilenet"]):
        assert best_backbone({BY_PATIENT: other}, models) == "other"
    assert told[0] == ("by patient, fold 1", 1, 4)

    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [
        "001-by-patient-1.json",
        "002-by-patient-2.json",
        "003-by-image-1.json",
        "004-by-image-2.json",
    ]
    texts = [file.read_text() for file in files]
    assert not any("patient1" in text or f"{1:064x}" in text for text in texts)
    asked = [set(json.loads(text)["predictions"]["image"]) for text in texts]
    assert not asked[0] & asked[1]
    assert len(asked[0] | asked[1]) == PATIENTS * EACH


@pytest.mark.slow
def test_the_ensemble_is_fitted_to_answers_out_of_fold_and_a_second_call_trains_nothing(images, own_features, tmp_path, monkeypatch):
    """One member remembers patients, the other tells classes: what they answer to images that they learnt from would favour the first."""
    random = np.random.default_rng(1)
    classes = np.eye(3)[images.labels].repeat(4, axis=1) + random.normal(scale=0.7, size=(PATIENTS * EACH, 12))
    tables = {"remembers": own_features, "tells": classes.astype(np.float32)[np.newaxis]}
    ensemble = Ensemble(method="weighted", folds=2, stage=Stage(epochs=1))
    (scheme, *_), _ = deal_schemes(images, 3, seed=0)
    answers = run_fold(subject(images, tables, ensemble), scheme.folds[0], scheme.groups, 0, tmp_path)
    assert list(answers.probabilities) == [
        "remembers",
        "tells",
        "ensemble",
        "logistic regression, remembers",
        "logistic regression, tells",
    ]
    assert answers.about["shares"][1] >= 0.75
    assert "out-of-fold" in answers.about["data"]["weights"]
    for shares in answers.probabilities.values():
        assert shares.shape == (len(scheme.folds[0].test), 3)
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    monkeypatch.setattr("cxr.trainer.crossval.members.train_head", None)
    again = run_fold(subject(images, tables, ensemble), scheme.folds[0], scheme.groups, 0, tmp_path)
    np.testing.assert_array_equal(again.probabilities["ensemble"], answers.probabilities["ensemble"])
    assert again.about == answers.about
    other = ensemble.model_copy(update={"method": "soft"})  # joined anew, of members that are trained already
    assert run_fold(subject(images, tables, other), scheme.folds[0], scheme.groups, 0, tmp_path).about["method"] == "soft"
    with pytest.raises(TypeError):  # other images are learnt from
        run_fold(subject(images, tables, ensemble), scheme.folds[0], scheme.groups, 1, tmp_path)


def test_networks_that_are_trained_already_are_read_and_joined_by_halves_of_what_stopped_them(images, tmp_path):
    random = np.random.default_rng(3)
    tables = {name: random.normal(size=(1, PATIENTS * EACH, 6)).astype(np.float32) for name in ("one", "other")}
    tuned = MODEL.model_copy(update={"fine_tuning": FineTuning(epochs=1)})
    subjects = dataclasses.replace(subject(images, tables, Ensemble(method="weighted")), models=dict.fromkeys(tables, tuned))
    (scheme, *_), _ = deal_schemes(images, 3, seed=0)
    fold = scheme.folds[0]
    for member, sure in zip(to_train(subjects, fold, scheme.groups, 0, tmp_path), (0.9, 0.2), strict=True):
        part = member.part
        right = np.eye(3, dtype=np.float32)[images.labels] * sure + (1 - sure) / 3
        np.savez(member.file(tmp_path), right[part.train], right[part.stop], right[part.test])
    read: list[str] = []
    answers = run_fold(subjects, fold, scheme.groups, 0, tmp_path, read.append)
    assert read == ["one", "other"]
    assert answers.about["data"]["weights"].startswith("one half of the validation patients (one, other: no out-of-fold predictions")
    assert answers.about["shares"] == [1, 0]
    np.testing.assert_allclose(answers.probabilities["ensemble"], answers.probabilities["one"], atol=1e-6)
    assert to_train(subjects, fold, scheme.groups, 0, tmp_path) == []  # the fold is finished
    few = dataclasses.replace(subjects, labels=np.where(images.labels == 2, 1, images.labels))
    few.labels[-12:] = 2  # three patients
    with pytest.raises(CxrError, match="a class has 2 patients, too few for one half .* ensemble.method=soft"):
        to_train(few, fold, scheme.groups, 0, tmp_path)
    taken = data_used(subjects.models, subjects.ensemble)["ensemble weights"]
    assert "one half of that sixth's patients" in taken
    assert data_used(subjects.models, Ensemble(method="soft"))["ensemble weights"] == "nothing: the method has none"


def test_logistic_regression_among_the_images_is_that_among_all_features(images, own_features):
    features = own_features[0]
    some = np.arange(0, len(features), 2)
    straight = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)).fit(features[some], images.labels[some])
    answers = logistic_answers(features[some], images.labels[some], features)
    np.testing.assert_allclose(answers, straight.predict_proba(features), atol=2e-3)


def test_figures_are_scikit_learns_and_pairs_need_the_same_images(images):
    random = np.random.default_rng(2)
    shares = random.dirichlet([1, 1, 1], PATIENTS * EACH).astype(np.float32)
    one = measurement_of(images.labels, images.patients, shares)
    found = measured(one, CLASSES)
    assert (found.images, found.patients) == (PATIENTS * EACH, PATIENTS)
    assert found.figure("balanced_accuracy").value == pytest.approx(balanced_accuracy_score(images.labels, shares.argmax(axis=1)), abs=1e-5)
    assert found.of_classes("auc")["normal"].value == pytest.approx(roc_auc_score(images.labels == 2, shares[:, 2]), abs=1e-5)
    assert known(found.figure("accuracy").low) < known(found.figure("accuracy").value) < known(found.figure("accuracy").high)
    assert one.above(one, "accuracy").value == 0
    assert -known(one.above(one, "accuracy").low) == known(one.above(one, "accuracy").high) > 0  # others may tell them apart
    with pytest.raises(ValueError, match="same images"):
        one.above(measurement_of(images.labels[8:], images.patients[8:], shares[8:]), "accuracy")


def test_a_class_that_is_not_there_has_no_figures(images):
    two = images.labels != 0
    answers = np.eye(3, dtype=np.float32)[images.labels[two]]
    found = measured(measurement_of(images.labels[two], images.patients[two], answers), CLASSES)
    assert found.of_classes("recall")["covid19"].value is None
    assert str(found.of_classes("recall")["covid19"]) == "–"
    assert found.figure("balanced_accuracy").value == 1


@pytest.mark.parametrize("method", ["weighted", "soft"])
def test_a_fold_calibrates_members_and_ensemble_as_a_run_does(images, tmp_path, method):
    """The members are too sure of what they know. What a run's trainers make of the same answers has the same temperatures and log loss."""
    random = np.random.default_rng(4)
    tables = {name: random.normal(size=(1, PATIENTS * EACH, 6)).astype(np.float32) for name in ("one", "other")}
    ensemble = Ensemble(method=method, folds=2)
    subjects = subject(images, tables, ensemble)
    (scheme, *_), _ = deal_schemes(images, 3, seed=0)
    fold = scheme.folds[0]
    splits, uris = (TRAIN, VAL, TEST, TRAIN_OOF), {}
    raw, expected = {}, {}
    for member, right in zip(to_train(subjects, fold, scheme.groups, 0, tmp_path), (0.7, 0.55), strict=True):
        part = member.part
        said = np.where(random.random(PATIENTS * EACH) < right, images.labels, random.integers(0, 3, PATIENTS * EACH))
        shares = (np.eye(3, dtype=np.float32)[said] * 0.997 + 0.001).astype(np.float32)
        which = dict(zip(splits, (part.train, part.stop, part.test, part.train), strict=True))
        raw[member.name] = {split: shares[which[split]] for split in splits}
        np.savez(member.file(tmp_path), *raw[member.name].values())
        # what trainer/run_fn.py does
        settled = settle(MODEL, CLASSES, raw[member.name], {VAL: images.labels[part.stop]})
        expected[member.name] = settled
        uris[member.name] = str(tmp_path / f"run/{member.name}")
        for split in splits:
            own = which[split]
            predictions.save(
                uris[member.name], split, images.content_hash[own], images.labels[own], settled.probabilities[split], images.patients[own]
            )
    # what trainer/ensemble/ensemble_run.py does
    data = fitting_data(ensemble, uris, has_validation=True)
    joined = join(ensemble, list(uris), data.fit, data.choose)
    assert data.validation is not None
    asked = align({name: predictions.load(uri, TEST) for name, uri in uris.items()}, TEST)
    expected["ensemble"] = settle(
        ensemble, CLASSES, {VAL: joined.answer(data.validation), TEST: joined.answer(asked)}, {VAL: data.validation.labels.argmax(axis=1)}
    )

    answers = run_fold(subjects, fold, scheme.groups, 0, tmp_path)
    labels = images.labels[fold.test]
    for name, settled in expected.items():
        assert answers.temperatures[name] == pytest.approx(settled.calibration.temperature, rel=1e-4)
        theirs = log_loss(labels, settled.probabilities[TEST])
        assert log_loss(labels, answers.probabilities[name]) == pytest.approx(theirs, rel=1e-4)
        if name in raw:
            assert answers.temperatures[name] > 1.5
            assert theirs < 0.7 * log_loss(labels, raw[name][TEST])
    again = run_fold(subjects, fold, scheme.groups, 0, tmp_path)
    assert again.temperatures == answers.temperatures
    off = dataclasses.replace(subjects, ensemble=ensemble.model_copy(update={"calibration": "none"}))  # no member is trained for it
    assert run_fold(off, fold, scheme.groups, 0, tmp_path).temperatures == {**answers.temperatures, "ensemble": 1}


def test_what_a_fold_came_to_hangs_on_the_code_that_calibrates_and_features_do_not():
    """Kept folds of before are named by another version of the code, features by the same."""
    assert {"cxr.trainer.calibration.settling", "cxr.trainer.calibration.temperature"} <= set(modules_of("cxr.trainer.crossval.fold_run"))
    assert "cxr.trainer.calibration.settling" not in modules_of(*FEATURES)


def test_a_finished_fold_is_read_and_nothing_of_it_is_done_again(images, tmp_path):
    (scheme, *_), _ = deal_schemes(images, 3, seed=0)
    fold, subjects = scheme.folds[0], subject(images, {"mobilenet": np.zeros([1, PATIENTS * EACH, 6], np.float32)})
    kept = fold_file(subjects, fold, scheme.groups, 0, tmp_path)
    np.savez(kept, np.array(json.dumps([{"mobilenet": 2.5}, {}])), *[np.full([len(fold.test), 3], share) for share in (0.25, 0.5)])
    asked: list[str] = []
    answers = run_fold(subjects, fold, scheme.groups, 0, tmp_path, asked.append)
    assert (asked, answers.temperatures, answers.about) == ([], {"mobilenet": 2.5}, {})
    assert [shares[0, 0] for shares in answers.probabilities.values()] == [0.25, 0.5]


def test_what_a_fold_and_its_members_are_kept_under_hangs_on_the_data(images, tmp_path):
    (scheme, *_), _ = deal_schemes(images, 3, seed=0)
    one = subject(images, {"mobilenet": np.zeros([1, PATIENTS * EACH, 6], np.float32)})
    others = [
        one,
        dataclasses.replace(one, keys={"mobilenet": "of other pictures"}),
        dataclasses.replace(one, labels=np.where(one.labels == 2, 1, one.labels)),
        dataclasses.replace(one, sources=np.where(np.arange(PATIENTS * EACH) < 60, "one", "other")),
    ]
    folds = {fold_file(other, scheme.folds[0], scheme.groups, 0, tmp_path) for other in others}
    folds |= {fold_file(one, scheme.folds[1], scheme.groups, 0, tmp_path), fold_file(one, scheme.folds[0], scheme.groups, 1, tmp_path)}
    assert len(folds) == 6
    members = [to_train(other, scheme.folds[0], scheme.groups, 0, tmp_path)[0].file(tmp_path) for other in others]
    assert len(set(members)) == 4


def test_a_fold_that_other_code_kept_is_not_read(images, tmp_path):
    (scheme, *_), _ = deal_schemes(images, 3, seed=0)
    now = subject(images, {"mobilenet": np.zeros([1, PATIENTS * EACH, 6], np.float32)})
    before = dataclasses.replace(now, code="before")
    kept = fold_file(before, scheme.folds[0], scheme.groups, 0, tmp_path)
    np.savez(kept, np.array("{}"), *[np.zeros([len(scheme.folds[0].test), 3])] * 2)
    assert to_train(before, scheme.folds[0], scheme.groups, 0, tmp_path) == []
    assert [member.name for member in to_train(now, scheme.folds[0], scheme.groups, 0, tmp_path)] == ["mobilenet"]

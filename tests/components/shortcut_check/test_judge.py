import audits
import numpy as np
import pytest

from cxr.components.infra_check.reasons import REASONS
from cxr.components.shortcut_check.judge import Evaluated, judge, read_margin
from cxr.components.shortcut_check.verdict import VERDICT, ShortcutVerdict
from cxr.core.errors import CxrError
from cxr.core.intervals import Figure, Z
from cxr.core.support import Support
from cxr.data.audit.result import AuditFigures, AuditResult

RNG = np.random.default_rng(0)
DRAWS = {name: (at + 0.1 * RNG.normal(size=1000)).astype(np.float32) for name, at in (("grey_histogram", 0.8), ("source", 0.6))}


def shortcut(name, value, kind="shortcut", measured=True, clear=(), auc=None):
    figure = Figure(value=value)
    aucs = {"a": Figure(value=auc), "b": Figure(value=1.0)}
    gate = AuditFigures(images=160, patients=100, accuracy=figure, balanced_accuracy=figure, auc=aucs) if measured else None
    return audits.shortcut(name, kind=kind, gate=gate, clear_classes=clear)


def audit(*shortcuts):
    return AuditResult(class_names=("a", "b"), split="test", images={}, patients=0, folds=0, clear_auc=0.8, shortcuts=shortcuts)


AUDIT = audit(shortcut("source", 0.6), shortcut("grey_histogram", 0.8), shortcut("whole_picture", 0.99, kind="reference"))


def support(patients):
    return Support(patients, np.full((2, 2), 50), np.full((4, 2), Z))


def verdict(value, margin, found=AUDIT, patients=100, auc=0.5):
    evaluated = Evaluated(value, DRAWS["grey_histogram"] + value - 0.8, 160, support(patients), [auc, 0.9])
    return judge("ensemble", evaluated, found, DRAWS | {"corners": DRAWS["source"]}, margin)


@pytest.mark.parametrize(
    ("value", "margin", "blessed"),
    [
        (0.81, 0.0, True),
        (0.8, 0.0, False),
        (0.79, 0.0, False),
        (0.85, 0.05, False),
        (0.86, 0.05, True),
        (0.79, -0.02, True),
        (0.1, None, True),
    ],
)
def test_a_model_must_be_more_than_the_margin_above_the_best_shortcut(value, margin, blessed):
    assert verdict(value, margin).blessed is blessed


def test_the_reason_names_both_figures_and_the_remedy():
    (reason,) = verdict(0.79, 0.0).reasons
    assert reason.startswith("ensemble (0.790) is no better than the grey_histogram alone (0.800): balanced")
    assert "gate.shortcut_margin=null" in reason
    (reason,) = verdict(0.81, 0.3).reasons
    assert "is not clearly better than the grey_histogram alone (0.800), and 1 other shortcut is not beaten either: balanced" in reason
    assert "the model must be better by more than 0.300; gate" in reason


def test_better_by_chance_is_called_so():
    chance = "ensemble (0.810) is better than the grey_histogram alone (0.800), but this may be chance"
    assert verdict(0.81, 0.0).comparisons[0].verdict == chance
    assert verdict(0.9, 0.0).comparisons[0].verdict == "ensemble (0.900) is better than the grey_histogram alone (0.800)"


@pytest.mark.parametrize(
    ("auc", "margin", "refused"),
    [
        (0.96, 0.0, True),
        (0.97, 0.0, True),
        (0.98, 0.0, False),
        (0.98, 0.02, True),
        (0.96, -0.02, False),
        (0.96, None, False),
        (np.nan, 0, True),
    ],
)
def test_a_class_that_a_shortcut_tells_clearly_must_be_told_better(auc, margin, refused):
    clear = {"clear": ("a",), "measured": True}
    found = audit(
        shortcut("grey_histogram", 0.6, auc=0.99),  # tells it no more surely than by chance: of the folds
        shortcut("source", 0.5, auc=0.9, **clear),
        shortcut("corners", 0.6, auc=0.97, **clear),
        shortcut("whole_picture", 0.99, kind="reference", auc=1.0, **clear),
    )
    judged = verdict(0.9, margin, found, auc=auc)
    assert len(judged.reasons) == refused
    assert judged.clear == ("verdict on source", "verdict on corners")  # whatever is demanded: the model card says so


@pytest.mark.parametrize(("other", "refused"), [(0.95, False), (0.94, True), (0.8, True)])
def test_each_class_that_one_shortcut_tells_clearly_must_be_told_better(other, refused):
    told = shortcut("source", 0.5, auc=0.97, clear=("a", "b"))
    told.gate.auc["b"] = Figure(value=0.94)
    evaluated = Evaluated(0.9, DRAWS["source"], 160, support(100), [0.98, other])
    reasons = judge("ensemble", evaluated, audit(told), DRAWS, 0.0).reasons
    assert [reason.split(" no better than ")[0] for reason in reasons] == [f"ensemble ({other:.3f}) predicts b"] * refused


def test_the_reason_of_a_class_names_both_figures_and_the_remedy():
    (reason,) = verdict(0.9, 0.0, audit(shortcut("source", 0.5, auc=0.97, clear=("a",))), auc=0.96).reasons
    assert reason.startswith(
        "ensemble (0.960) predicts a no better than the source alone (0.970), from which the audit predicts it clearly"
    )
    assert "AUC on test; the model must be better; gate.shortcut_margin=null" in reason


def test_a_margin_that_forgives_does_not_flatter():
    found = verdict(0.79, -0.05)
    assert found.blessed
    assert found.comparisons[0].verdict == "ensemble (0.790) is no better than the grey_histogram alone (0.800)"


def test_references_are_not_compared_and_the_best_comes_first():
    assert [comparison.shortcut for comparison in verdict(0.9, 0.0).comparisons] == ["grey_histogram", "source"]


def test_differences_are_paired():
    first, second = verdict(0.9, 0.0).comparisons
    assert first.difference.value == pytest.approx(0.1)
    assert first.difference.high - first.difference.low < 0.06  # both move alike in every draw
    assert second.difference.high - second.difference.low > 0.3


def test_other_patients_give_no_interval():
    assert verdict(0.9, 0.0, patients=99).comparisons[0].difference.low is None


def test_without_a_shortcut_on_the_split_there_is_nothing_to_beat():
    nothing = audit(shortcut("source", 0.6, measured=False))
    assert "no shortcut could be measured on the split test" in verdict(0.9, 0.0, nothing).reasons[0]
    assert verdict(0.9, None, nothing).blessed


def test_saved_and_read_again(tmp_path):
    refused = verdict(0.79, 0.0)
    refused.save(tmp_path)
    assert ShortcutVerdict.load(tmp_path) == refused
    assert (tmp_path / REASONS).read_text().splitlines() == list(refused.reasons)
    assert (tmp_path / "NOT_BLESSED").exists()
    with pytest.raises(CxrError, match="verdict.json: cannot be read"):
        ShortcutVerdict.load(tmp_path / "nowhere")
    (tmp_path / VERDICT).write_text(refused.model_dump_json().replace('"balanced_accuracy":', '"balanced_accuracy":7', 1))
    with pytest.raises(CxrError, match=r"cannot be read \(balanced_accuracy: "):
        ShortcutVerdict.load(tmp_path)


def test_the_margin_is_a_number_or_null():
    assert read_margin("0.05") == 0.05
    assert read_margin("-1") == -1
    assert read_margin("null") is None
    for text in ("none", "1", "true", "NaN", '"0"', ""):
        with pytest.raises(CxrError, match="neither a number from -1 to below 1 nor null"):
            read_margin(text)

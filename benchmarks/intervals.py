"""How often the 95 % intervals hold the truth, and how often a candidate that is too bad passes the gate's margin: by simulation.

Beside each stands what the percentile bootstrap over patients gives on the same draws, with Wilson's interval where no draw differs: how
intervals were made before (docs/evaluation.md, Intervals).

usage: python benchmarks/intervals.py [--rounds N] [--seed N]        two minutes of processor time with 1000 rounds
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.special import ndtri

from cxr.core.figure_intervals import Recalls, difference_interval, interval
from cxr.core.figures import Answers, Measure
from cxr.core.intervals import MIN_PATIENTS, Interval, Z, bootstrap_interval, proportion_interval, share_interval
from cxr.core.resampling import drawn_means, resampled
from cxr.core.support import Support, quantile

MARGIN = 0.05
IMAGES = (1, 1, 2, 3, 5)  # of a patient, each as likely: 2.4 in the mean

Random = np.random.Generator
Sizes = Callable[[Random, int], npt.NDArray[np.int64]]
Pair = tuple[Interval, Interval]  # before, and as it is now


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
      what: Figure and truth.
      patients: Or those of each class.
      truth: The figure in everybody.
      simulate: Draws patients and makes both intervals.
    """

    what: str
    patients: str
    truth: float
    simulate: Callable[[Random], Pair]


def percentiles(value: float, draws: npt.NDArray[np.float64], patients: int) -> Interval:
    """Returns a share's interval as it was made before."""
    found = bootstrap_interval(draws, patients)
    return proportion_interval(value, patients) if patients < MIN_PATIENTS or found.low == found.high else found


def few(random: Random, patients: int) -> npt.NDArray[np.int64]:
    """How many images patients have: one to five."""
    return random.choice(IMAGES, patients)


def unequal(random: Random, patients: int) -> npt.NDArray[np.int64]:
    """The same, lognormal: half have one, and one of a hundred 27 or more."""
    return np.maximum(1, np.exp(random.normal(0.5, 1.2, patients)).astype(np.int64))


def one_with_most(random: Random, patients: int) -> npt.NDArray[np.int64]:
    """The same where one has 200 and the others one each."""
    return np.where(np.arange(patients) == 0, 200, 1)


def share(random: Random, *, truth: float, correlation: float, patients: int, sizes: Sizes = few) -> Pair:
    """A share of images, of which a patient has one or several whose errors are so correlated."""
    images = sizes(random, patients) if correlation else np.ones(patients, np.int64)
    chances = random.beta(truth * (1 / correlation - 1), (1 - truth) * (1 / correlation - 1), patients) if correlation else truth
    right = random.binomial(images, chances)
    of = np.repeat(np.arange(patients), images)
    values = np.concatenate([np.arange(n) < k for k, n in zip(right, images, strict=True)]).astype(np.float64)
    value, draws = float(values.mean()), drawn_means(values, of)
    return percentiles(value, draws, patients), share_interval(value, draws, patients, quantile(images))


def auc(random: Random, *, truth: float, own: int, others: int, apart: bool) -> Pair:
    """An AUC of a patient an image: of normal scores, or of some of the class who look like nobody, and below all others."""
    labels = np.arange(own + others) < own
    scores = random.normal(size=len(labels))
    if apart:
        scores += np.where(labels, np.where(random.random(len(labels)) < truth, 20, -20), 0)
    else:
        scores += labels * np.sqrt(2) * ndtri(truth)
    chance = 1 / (1 + np.exp(-scores))
    answers = Answers(np.arange(len(labels)), labels.astype(np.int64), np.stack([1 - chance, chance], axis=1))
    measure = Measure(answers, 1)
    value = float(measure(np.ones((1, len(labels)))).auc[0, 1])
    draws = np.concatenate([found.auc[:, 1] for found in resampled(answers, measure)])
    return percentiles(value, draws, min(own, others)), share_interval(value, draws, min(own, others))


def balanced_accuracy(random: Random, *, truth: float, classes: tuple[int, ...]) -> Pair:
    """A balanced accuracy of a patient an image."""
    labels = np.repeat(np.arange(len(classes)), classes)
    right = random.random(len(labels)) < truth
    answers = Answers(np.arange(len(labels)), labels, np.eye(len(classes))[np.where(right, labels, (labels + 1) % len(classes))])
    measure = Measure(answers, 1)
    whole, drawn = measure(np.ones((1, len(labels)))), list(resampled(answers, measure))
    value, draws = float(whole.balanced_accuracy[0]), np.concatenate([found.balanced_accuracy for found in drawn])
    recalls = Recalls(whole.recall[0], np.concatenate([found.recall for found in drawn]))
    now = interval("balanced_accuracy", None, value, draws, Support.of(answers), recalls)
    return percentiles(value, draws, len(classes) * min(classes)), now


def loss(random: Random, *, patients: int, lost: float, gained: float) -> Pair:
    """The difference of two accuracies: the candidate is wrong on `lost` of whom the baseline is right on, and right on `gained`."""
    values = random.choice([-1.0, 1.0, 0.0], patients, p=[lost, gained, 1 - lost - gained])
    value, draws = float(values.mean()), drawn_means(values, np.arange(patients))
    support = Support(patients, np.full((2, 2), patients), np.full((4, 2), Z))
    return bootstrap_interval(draws, patients), difference_interval("accuracy", None, value, draws, support)


def figures() -> Iterator[Case]:
    """Yields those whose coverage is measured."""
    for truth, correlation in ((0.8, 0.0), (0.8, 0.5), (0.95, 0.5)):
        for patients in (10, 20, 31, 100):
            images = "images of a patient correlated by 0.5" if correlation else "an image each"
            simulate = partial(share, truth=truth, correlation=correlation, patients=patients)
            yield Case(f"share {truth}, {images}", str(patients), truth, simulate)
    for sizes, named in ((unequal, "lognormal numbers of images"), (one_with_most, "one patient has 200 images")):
        for truth in (0.8, 0.95):
            for patients in (31, 100):
                simulate = partial(share, truth=truth, correlation=0.5, patients=patients, sizes=sizes)
                yield Case(f"share {truth}, {named}", str(patients), truth, simulate)
    for apart in (False, True):
        for truth, own, others in ((0.85, 15, 100), (0.95, 15, 100), (0.95, 40, 60)):
            scores = "some of the class below all others" if apart else "normal scores"
            yield Case(f"AUC {truth}, {scores}", f"{own} / {others}", truth, partial(auc, truth=truth, own=own, others=others, apart=apart))
    for classes in ((4, 50), (4, 50, 50), (30, 40, 40)):
        simulate = partial(balanced_accuracy, truth=0.8, classes=classes)
        yield Case("balanced accuracy 0.8", " / ".join(map(str, classes)), 0.8, simulate)


def margins() -> Iterator[Case]:
    """Yields candidates that are worse by exactly MARGIN."""
    for gained in (0.0, 0.05):
        for patients in (10, 20, 43, 73, 110, 161, 500):
            what = f"wrong on {MARGIN + gained:.2f}, right on {gained:.2f}"
            yield Case(what, str(patients), -MARGIN, partial(loss, patients=patients, lost=MARGIN + gained, gained=gained))


def rates(case: Case, rounds: int, seed: int) -> list[tuple[float, float, float, float]]:
    """Returns coverage, how often the lower end is above the truth, and at or above it, and mean width: before, and now."""
    random = np.random.default_rng(seed)
    found = [case.simulate(random) for _ in range(rounds)]
    ends = np.array([[(one.low, one.high) for one in pair] for pair in found])  # [rounds, 2, 2]
    low, high = ends[:, :, 0], ends[:, :, 1]
    near = 1e-9
    held = (low <= case.truth + near) & (case.truth - near <= high)
    rows = zip(
        held.mean(axis=0),
        (low > case.truth + near).mean(axis=0),
        (low >= case.truth - near).mean(axis=0),
        (high - low).mean(axis=0),
        strict=True,
    )
    return [tuple(map(float, row)) for row in rows]  # type: ignore[misc]


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="splits that are drawn of each case")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console(width=150)

    def show(title: str, cases: Iterable[Case], what: str, shown: dict[str, int]) -> None:
        """Prints a table; `shown`: heading to place in what `rates` returns."""
        table = Table(what, "patients", *shown, title=title)
        for case in cases:
            before, now = rates(case, options.rounds, options.seed)
            table.add_row(case.what, case.patients, *(f"{before[at]:.3f} -> {now[at]:.3f}" for at in shown.values()))
        console.print(table)

    title = f"{options.rounds} rounds; each before -> now; nominal 0.95 and 0.025"
    show(title, figures(), "figure", {"holds the truth": 0, "lower end above it": 1, "mean width": 3})
    title = f"a candidate that is worse by {MARGIN}, the margin; nominal 0.025 pass"
    show(title, margins(), "candidate", {"passes": 2, "holds the truth": 0, "mean width": 3})


if __name__ == "__main__":
    main()

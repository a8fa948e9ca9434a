"""How well duplicates are found: recall at each change, false alarms, and the speed of the search.

    python benchmarks/duplicates.py DATA            about 10 minutes on 2 cores
    python benchmarks/duplicates.py DATA --only speed --pictures 100000

DATA is a folder with a manifest.csv (columns image, patient_id). A share of its pictures is changed in each of the ways of
picture_changes.py, and looked for among all of them. What is found among the unchanged pictures is shown by who they are of: different
patients, or one patient (follow-ups; true copies count as found there too, so look at them). The search is timed on pictures drawn from the
mean and the covariance of the real ones. Hardly any of these agree, so the confirmation's time is extrapolated from the real ones.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from picture_changes import CHANGES

from cxr.core.features import MAX_PIXELS
from cxr.data.duplicates import search
from cxr.data.duplicates.find import CONFIRMED, agreements
from cxr.data.duplicates.thumbnails import READ_SIDE, SIDE, Thumbnails, read_thumbnails, thumbnail
from cxr.data.images import reader

WORKERS = 2
LEVELS = (0.75, 0.80, 0.85, 0.88, 0.90, 0.95)


def compared(thumbnails: Thumbnails) -> tuple[search.Candidates, np.ndarray]:
    """Returns candidates and their agreement."""
    found = search.candidates(thumbnails, WORKERS)
    return found, agreements(thumbnails, found, WORKERS)


def recall(paths: Sequence[str], thumbnails: Thumbnails, count: int, seed: int) -> None:
    """Prints how many of the changed pictures are found again among all."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(paths), min(count, len(paths)), replace=False)
    pictures = [reader.read_image(paths[number]).array for number in chosen]
    print(f"\n{len(chosen)} changed pictures among {len(paths)}")
    print(f"{'change':34}{'candidates':>12}" + "".join(f"{f'>= {level}':>9}" for level in LEVELS) + f"{'lowest 2 %':>12}")
    for name, change in CHANGES.items():
        changed = np.stack([thumbnail(reader.read_image(_png(change(grey, rng)), max_side=READ_SIDE).array) for grey in pictures])
        found, scores = compared(np.concatenate([thumbnails, changed]))
        best = dict.fromkeys(range(len(chosen)), -1.0)
        candidates = set()
        for pair, score in zip(found, scores, strict=True):
            low, high = sorted((int(pair["first"]), int(pair["second"])))
            if high >= len(paths) and low == chosen[high - len(paths)]:
                best[high - len(paths)] = float(score)
                candidates.add(high)
        values = np.array(list(best.values()))
        shares = "".join(f"{(values >= level).mean():9.3f}" for level in LEVELS)
        print(f"{name:34}{len(candidates) / len(chosen):12.3f}{shares}{np.quantile(values, 0.02):12.2f}", flush=True)


def false_alarms(patients: Sequence[str], thumbnails: Thumbnails) -> None:
    """Prints what is found among unchanged pictures, by whether they are of one patient."""
    found, scores = compared(thumbnails)
    same = np.array([patients[pair["first"]] == patients[pair["second"]] for pair in found], bool)
    _, counts = np.unique(patients, return_counts=True)
    one = int((counts * (counts - 1) // 2).sum())
    total = len(patients) * (len(patients) - 1) // 2
    print(f"\n{'unchanged pictures':34}{'pairs':>12}{'candidates':>12}" + "".join(f"{f'>= {level}':>9}" for level in LEVELS))
    for name, pairs, which in (("different patients", total - one, ~same), ("one patient", one, same)):
        print(f"{name:34}{pairs:12,}{which.sum():12}" + "".join(f"{(scores[which] >= level).sum():9}" for level in LEVELS))
    print(f"CONFIRMED is {CONFIRMED}: look at every pair above it, copies are among them")


def speed(patients: Sequence[str], thumbnails: Thumbnails, pictures: int) -> None:
    """Prints how long a search among so many pictures takes, and how long the confirmation would."""
    drawn = _drawn(thumbnails, pictures)
    with _Clock() as clock:
        found = search.candidates(drawn, WORKERS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nsearch among {pictures:,} drawn pictures: {clock}, {len(found)} candidates, {WORKERS} threads; peak memory {peak:.0f} MB")
    found = search.candidates(thumbnails, WORKERS)
    found = found[[patients[pair["first"]] != patients[pair["second"]] for pair in found]]
    found = found[agreements(thumbnails, found, WORKERS) < CONFIRMED]
    with _Clock() as clock:
        agreements(thumbnails, found, WORKERS)
    share = len(found) / (len(patients) * (len(patients) - 1) / 2)
    pairs, each = share * pictures * (pictures - 1) / 2, clock.cpu / max(1, len(found))
    print(
        f"confirmation: {1000 * each:.1f} ms of a core a pair of strangers; with the share of candidates found here ({share:.1e}), "
        f"{pairs:,.0f} pairs and {pairs * each / 60:.0f} minutes of a core among {pictures:,} pictures (extrapolated)"
    )


class _Clock:
    """Wall and processor time of a block."""

    def __enter__(self) -> _Clock:
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._started[0], time.process_time() - self._started[1]

    def __str__(self) -> str:
        return f"{self.wall:.0f} s ({self.cpu:.0f} s of a core)"


def _drawn(thumbnails: Thumbnails, count: int) -> Thumbnails:
    """Returns random pictures with the mean and the covariance of real ones: nobody's, but alike."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    centred, rng = (flat - flat.mean(axis=0)) / np.sqrt(len(flat)), np.random.default_rng(0)
    drawn = np.empty((count, flat.shape[1]), np.uint8)
    for start in range(0, count, 1024):
        part = drawn[start : start + 1024]
        part[:] = np.clip(flat.mean(axis=0) + rng.standard_normal((len(part), len(flat)), np.float32) @ centred, 0, 255)
    return drawn.reshape(count, SIDE, SIDE)


def _png(grey: np.ndarray) -> bytes:
    return reader.encode(reader.GreyImage(np.ascontiguousarray(grey), "png", grey.shape))


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with a manifest.csv")
    parser.add_argument("--only", choices=("recall", "alarms", "speed"), nargs="*", default=("recall", "alarms", "speed"))
    parser.add_argument("--changed", type=int, default=200, help="pictures that are changed")
    parser.add_argument("--pictures", type=int, default=100_000, help="in the test of speed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with (options.data / "manifest.csv").open(newline="") as stream:
        patients = {row["image"]: row["patient_id"] for row in csv.DictReader(stream)}
    paths = [str(options.data / name) for name in patients]
    started = time.perf_counter()
    thumbnails = read_thumbnails(paths, MAX_PIXELS, WORKERS)
    print(f"{len(paths)} pictures read in {time.perf_counter() - started:.1f} s")
    if "alarms" in options.only:
        false_alarms(list(patients.values()), thumbnails)
    if "recall" in options.only:
        recall(paths, thumbnails, options.changed, options.seed)
    if "speed" in options.only:
        speed(list(patients.values()), thumbnails, options.pictures)


if __name__ == "__main__":
    main()

"""How well duplicates are found: recall at each change, false alarms, and the speed of the search.

    python benchmarks/duplicates.py DATA            about 5 minutes on 2 cores
    python benchmarks/duplicates.py DATA --only speed --pictures 100000

DATA is a folder with a manifest.csv (columns image, patient_id). A share of its pictures is changed in each of the ways of
picture_changes.py, and looked for among all of them. What is found among the unchanged pictures is shown by who they are of: different
patients, or one patient (follow-ups; true copies count as found there too, so look at them). The speed is that of random pictures, which
agree with none: what radiographs add to it is the confirmation, whose time a pair is printed beside it.
"""

from __future__ import annotations

import argparse
import csv
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


def speed(pictures: int, real: Thumbnails | None) -> None:
    """Prints how long the search among so many pictures takes."""
    noise = np.random.default_rng(0).integers(0, 256, (pictures, SIDE, SIDE), np.uint8)
    started = time.perf_counter()
    found = search.candidates(noise, WORKERS)
    seconds = time.perf_counter() - started
    print(f"\nsearch among {pictures:,} random pictures: {seconds:.0f} s, {len(found)} candidates, {WORKERS} threads")
    if real is not None:
        found = search.candidates(real, WORKERS)
        started = time.perf_counter()
        agreements(real, found, WORKERS)
        print(f"confirmation: {1000 * (time.perf_counter() - started) / max(1, len(found)):.1f} ms a pair ({len(found)} pairs)")


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
        speed(options.pictures, thumbnails)


if __name__ == "__main__":
    main()

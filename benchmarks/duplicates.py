"""How well duplicates are found: recall at each change, false alarms, and the speed of the search.

    python benchmarks/duplicates.py DATA            about 10 minutes on 2 cores
    python benchmarks/duplicates.py DATA --only speed --pictures 100000

DATA is a folder with a manifest.csv (columns image, patient_id). A share of its pictures is changed in each of the ways of
picture_changes.py, and looked for among all of them. What is found among the unchanged pictures is shown by who they are of: different
patients, or one patient (follow-ups; true copies count as found there too, so look at them). Speed is that of the whole search, comparison
and confirmation, among real pictures that were each warped at random. The warp (`WARP`) is so chosen that as large a share of all pairs has
to be confirmed as among the real ones (it is printed); none of these pairs is a copy. Copies are planted among them, and counted again.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from picture_changes import CHANGES
from scipy.ndimage import map_coordinates, zoom

from cxr.data.duplicates.find import CONFIRMED, agreements, candidates, near_duplicates
from cxr.data.duplicates.search import Candidates
from cxr.data.duplicates.thumbnails import SIDE, Thumbnails, thumbnail
from cxr.data.images import reader

WORKERS = 2
LEVELS = (0.75, 0.80, 0.85, 0.88, 0.90, 0.95)
WARP, KNOTS = 0.03, 5  # of a side, standard deviation; along a side
COPY_EACH = 100  # pictures
Picture = npt.NDArray[np.uint8]  # [SIDE, SIDE]


def compared(thumbnails: Thumbnails) -> tuple[Candidates, np.ndarray]:
    """Returns candidates and their agreement."""
    found = candidates(thumbnails, WORKERS)
    return found, agreements(thumbnails, found, WORKERS)


def recall(paths: Sequence[str], thumbnails: Thumbnails, count: int, seed: int) -> None:
    """Prints how many of the changed pictures are found again among all."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(paths), min(count, len(paths)), replace=False)
    pictures = [reader.read_image(paths[number]).array for number in chosen]
    print(f"\n{len(chosen)} changed pictures among {len(paths)}")
    print(f"{'change':34}{'candidates':>12}" + "".join(f"{f'>= {level}':>9}" for level in LEVELS) + f"{'lowest 2 %':>12}")
    for name, change in CHANGES.items():
        changed = np.stack([thumbnail(reader.read_image(_png(change(grey, rng))).array) for grey in pictures])
        found, scores = compared(np.concatenate([thumbnails, changed]))
        best = dict.fromkeys(range(len(chosen)), -1.0)
        seen = set()
        for pair, score in zip(found, scores, strict=True):
            low, high = sorted((int(pair["first"]), int(pair["second"])))
            if high >= len(paths) and low == chosen[high - len(paths)]:
                best[high - len(paths)] = float(score)
                seen.add(high)
        values = np.array(list(best.values()))
        shares = "".join(f"{(values >= level).mean():9.3f}" for level in LEVELS)
        print(f"{name:34}{len(seen) / len(chosen):12.3f}{shares}{np.quantile(values, 0.02):12.2f}", flush=True)


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


def speed(patients: Sequence[str], thumbnails: Thumbnails, pictures: int, seed: int) -> None:
    """Prints how long a search among so many pictures takes, stage by stage, what it holds, and how many planted copies it finds."""
    pairs = len(thumbnails) * (len(thumbnails) - 1) / 2
    strangers = sum(patients[pair["first"]] != patients[pair["second"]] for pair in candidates(thumbnails, WORKERS))
    drawn, planted = _crowd(thumbnails, pictures, np.random.default_rng(seed))
    clocks: dict[str, _Clock] = {}
    totals: dict[str, int] = {}

    def stage(name: str, total: int) -> Callable[[int], None]:
        clocks[name], totals[name] = _Clock(), total
        return lambda done: clocks[name].read()

    whole = _Clock()
    found = near_duplicates(drawn, WORKERS, stage)
    whole.read()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    confirmed = {(pair.first, pair.second) for pair in found}
    print(f"\nsearch among {pictures:,} pictures, {WORKERS} threads: {whole}")
    print(f"  peak memory {peak:,.0f} MB, {drawn.nbytes / 2**20:,.0f} of them the pictures")
    for name, clock in clocks.items():
        print(f"  {name:12}{totals[name]:10,} {'pairs' if name == 'confirming' else 'pictures'}: {clock}")
    share = totals["confirming"] / (pictures * (pictures - 1) / 2)
    print(f"share of pairs to confirm {share:.1e}, between real ones of different patients {strangers / pairs:.1e}")
    print(f"planted copies found: {len(planted & confirmed):,} of {len(planted):,}; other pairs confirmed: {len(confirmed - planted):,}")


class _Clock:
    """Wall and processor time from its making to the last reading."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()
        self.wall = self.cpu = 0.0

    def read(self) -> None:
        """Takes the time."""
        self.wall, self.cpu = time.perf_counter() - self._started[0], time.process_time() - self._started[1]

    def __str__(self) -> str:
        return f"{self.wall:.0f} s ({self.cpu:.0f} s of a core)"


def _crowd(thumbnails: Thumbnails, count: int, rng: np.random.Generator) -> tuple[Thumbnails, set[tuple[int, int]]]:
    """Returns warped pictures, one in a hundred of them a copy of the one before it, and the pairs of copies."""
    crowd, planted = np.empty((count, SIDE, SIDE), np.uint8), set()
    for number in range(count):
        if number % COPY_EACH == COPY_EACH - 1:
            crowd[number] = _copied(crowd[number - 1], rng)
            planted.add((number - 1, number))
        else:
            crowd[number] = _warped(thumbnails[number % len(thumbnails)], rng)
    return crowd, planted


def _warped(picture: Picture, rng: np.random.Generator) -> Picture:
    """Moves each place of a picture by another distance, smoothly."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    by = [zoom(rng.standard_normal((KNOTS, KNOTS)), SIDE / KNOTS, order=3) * WARP * SIDE for _ in range(2)]
    return _sampled(picture, rows + by[0], columns + by[1])


def _copied(picture: Picture, rng: np.random.Generator) -> Picture:
    """Cuts off up to a tenth at each end of each side, changes gamma, and mirrors every other one."""
    (top, bottom), (left, right) = rng.uniform(0, 0.1, (2, 2)) * (SIDE - 1)
    rows, columns = np.meshgrid(np.linspace(top, SIDE - 1 - bottom, SIDE), np.linspace(left, SIDE - 1 - right, SIDE), indexing="ij")
    found = 255 * (_sampled(picture, rows, columns) / 255) ** rng.uniform(0.7, 1.4)
    return found.astype(np.uint8)[:, :: rng.choice((1, -1))]


def _sampled(picture: Picture, rows: np.ndarray, columns: np.ndarray) -> Picture:
    return map_coordinates(picture.astype(np.float32), [rows, columns], order=1, mode="nearest").clip(0, 255).astype(np.uint8)


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
    with ThreadPoolExecutor(WORKERS) as pool:
        thumbnails = np.stack(list(pool.map(lambda path: thumbnail(reader.read_image(path).array), paths)))
    print(f"{len(paths)} pictures read in {time.perf_counter() - started:.1f} s")
    if "alarms" in options.only:
        false_alarms(list(patients.values()), thumbnails)
    if "recall" in options.only:
        recall(paths, thumbnails, options.changed, options.seed)
    if "speed" in options.only:
        speed(list(patients.values()), thumbnails, options.pictures, options.seed)


if __name__ == "__main__":
    main()

"""What a small model sees of some images: a table, or several side by side, of numbers and of words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import gen_batches

from cxr.core.stored_rows import Rows

AT_ONCE = 4096  # rows in memory


@dataclass(frozen=True)
class Seen:
    """Tables of the same images.

    Attributes:
      numbers: Each float32 [images, columns].
      words: Each object [images, columns], categories. There is a table of either kind.
    """

    numbers: Sequence[Rows]
    words: Sequence[npt.NDArray[np.object_]]

    def __len__(self) -> int:
        return len([*self.numbers, *self.words][0])

    def __getitem__(self, which: Any) -> Seen:
        """Chooses images; numbers on disk are not read by it."""
        return Seen([table[which] for table in self.numbers], [table[which] for table in self.words])

    @property
    def columns(self) -> int:
        """Numbers and words per image."""
        return sum(table.shape[1] for table in (*self.numbers, *self.words))

    def read_numbers(self) -> npt.NDArray[np.float32]:
        """Returns all numbers of each image, float32 [images, numbers]."""
        return np.hstack([np.asarray(table) for table in self.numbers]) if self.numbers else np.empty((len(self), 0), np.float32)

    def read_words(self) -> npt.NDArray[np.object_]:
        """Returns all words of each image, object [images, words]."""
        return np.hstack(self.words) if self.words else np.empty((len(self), 0), object)

    def batches(self) -> Iterator[tuple[slice, Seen]]:
        """Yields positions of some images, and what is seen of them."""
        for part in gen_batches(len(self), AT_ONCE):
            yield part, self[part]

    def different(self) -> int:
        """Counts the images, equal ones once."""
        found: set[bytes] = set()
        for _, part in self.batches():
            for numbers, words in zip(part.read_numbers() + np.float32(0), part.read_words(), strict=True):  # -0 is 0
                found.add(hashlib.blake2b(numbers.tobytes() + "\0".join(words).encode(), digest_size=16).digest())
        return len(found)

"""The masks that a manifest names, beside the pictures that were read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cxr.core.machine_faults import check_file_at_fault
from cxr.data.images.errors import ImageError
from cxr.data.images.masks import read_mask
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Entry


@dataclass(frozen=True)
class Masks:
    """By number of the row.

    Attributes:
      found: PNG of the picture's size; a mask that shows the disease nowhere is not among them.
      refused: Reason and detail of a mask that cannot be used: its image is left out.
    """

    found: dict[int, bytes] = field(default_factory=dict)
    refused: dict[int, tuple[str, str]] = field(default_factory=dict)


def read_masks(rows: Iterable[Row], entry_of: Callable[[Row], Entry], workers: int) -> Masks:
    """Reads the masks of all rows that have one and whose picture can be used. They are few and small: they stay in memory.

    Args:
      rows: As the manifest has them.
      entry_of: What became of a row's picture.
      workers: Threads.
    """

    def read(row: Row) -> bytes | tuple[str, str] | None:
        entry = entry_of(row)
        try:
            return read_mask(row.mask, entry.height, entry.width)
        except ImageError as error:
            return error.reason, str(error).removeprefix(f"{row.mask}: ")
        except OSError as error:
            check_file_at_fault(error)
            return "mask cannot be opened", error.strerror or str(error)

    masked = [row for row in rows if row.mask and not entry_of(row).reason]
    masks = Masks()
    with ThreadPoolExecutor(workers) as pool:
        for row, found in zip(masked, pool.map(read, masked), strict=True):
            if isinstance(found, bytes):
                masks.found[row.number] = found
            elif found is not None:
                masks.refused[row.number] = found
    return masks

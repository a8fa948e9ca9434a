"""The results of a speed test for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from cxr.serving.client.bench import Result

HEADINGS = ("payload", "KB/image", "batch", "clients", "images/s", "p50", "p90", "p99", "max", "failed")


def table(title: str, results: Sequence[Result]) -> Table:
    """Makes a table: one row per measurement; latencies in milliseconds, payload in kilobytes (1,000 bytes)."""
    made = Table(title=f"{title}; latencies in ms", title_justify="left", box=box.SIMPLE, padding=0)
    for heading in HEADINGS:
        made.add_column(heading, justify="left" if heading == "payload" else "right", no_wrap=True)
    for result in results:
        made.add_row(
            result.signature,
            f"{result.bytes_per_image / 1e3:.1f}",
            str(result.batch_size),
            str(result.concurrency),
            f"{result.images_per_second:.1f}" + (f" / {result.rate * result.batch_size:g}" if result.rate else ""),
            *(f"{seconds * 1e3:.1f}" for seconds in (result.p50, result.p90, result.p99, result.longest)),
            str(sum(result.errors.values())),
        )
    failed = sorted({code for result in results for code in result.errors})
    made.caption = f"failed with {', '.join(failed)}" if failed else None
    return made

"""The results of a speed test for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from cxr.serving.client.bench import Result


def table(title: str, results: Sequence[Result]) -> Table:
    """Makes a table: one row per measurement; latencies in milliseconds, payload in kilobytes (1,000 bytes)."""
    made = Table(title=title, title_justify="left")
    for heading in (
        "payload",
        "KB/image",
        "batch",
        "at a time",
        "requests/s offered",
        "images/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "longest",
        "failed",
    ):
        made.add_column(heading, justify="left" if heading == "payload" else "right")
    for result in results:
        made.add_row(
            result.signature,
            f"{result.bytes_per_image / 1e3:.1f}",
            str(result.batch_size),
            str(result.concurrency),
            f"{result.rate:g}" if result.rate else "all",
            f"{result.images_per_second:.1f}",
            *(f"{seconds * 1e3:.1f}" for seconds in (result.p50, result.p90, result.p99, result.longest)),
            ", ".join(f"{code} {count}" for code, count in sorted(result.errors.items())) or "0",
        )
    return made

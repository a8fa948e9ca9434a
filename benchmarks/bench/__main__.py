"""Each step of the pipeline beside what it replaces, and beside what it cannot be faster than: one table of ratios.

The sides of a row take turns, each in a process of its own. About 10 minutes on 2 idle cores, 3 rounds of all rows but `whole`.
The results are kept as JSON in workspace/bench; docs/performance.md explains the rows.

  make bench                                            all rows on made-up radiographs
  make bench ARGS='--rows ingest head --rounds 5'       some of them, more often
  make bench ARGS='--images ~/xrays --count 1008'       on images of one's own (a source as `cxr ingest` takes it)
  make bench ARGS=--whole                               and the whole pipeline beside a plain Keras script: minutes more
  make bench-compare OLD=workspace/bench/FILE.json      the newest results beside older ones

exit codes: 0 measured, 1 a row failed, 2 wrong arguments, 130 interrupted, 143 ended by SIGTERM, 129 by a closed terminal
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from bench import KEPT
from bench.data import OWN, SYNTHETIC, Data
from bench.machine import describe
from bench.results import Measured
from bench.row import Row
from bench.runner import measure
from bench.table import markdown, table
from cxr.core import exit_codes
from cxr.core.console import Console
from cxr.core.errors import CxrError, UsageError
from cxr.core.silence import silenced
from cxr.core.termination import cause, raise_on_termination

FEWEST = 60  # images: each class needs patients in each split, in a third of them


def main() -> None:
    """Measures and prints; errors become messages and exit codes."""
    raise_on_termination()
    given = _parser().parse_args()
    try:
        sys.exit(_run(given))
    except CxrError as error:
        Console(stderr=True).print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as stop:
        number = cause(stop)
        Console(stderr=True).print(f"terminated ({number.name})" if number else "interrupted", style="yellow")
        sys.exit(exit_codes.of_signal(number) if number else exit_codes.INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these (--list has their names)")
    parser.add_argument("--list", action="store_true", help="print the rows and stop")
    parser.add_argument("--whole", action="store_true", help="the row `whole` too")
    parser.add_argument("--rounds", type=int, default=3, help="of each side (default 3)")
    parser.add_argument("--images", type=Path, help="folder or manifest, as `cxr ingest` takes it (default: made-up radiographs)")
    parser.add_argument("--count", type=int, default=240, help="images of most rows; growth goes from a third to three times (default 240)")
    parser.add_argument("--out", type=Path, help=f"file for the results (default: one in {KEPT})")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep images, records, models and logs in this new folder")
    return parser


def _run(given: argparse.Namespace) -> int:
    with silenced():
        from bench.rows import all_rows

        rows = all_rows()  # imports TensorFlow and Keras
    console = Console()
    if not console.is_terminal:
        console.width = 200
    if given.list:
        for row in rows.values():
            console.print(f"{row.name:14} {row.about}", highlight=False)
        return exit_codes.OK
    chosen = _chosen(given, rows)
    machine = describe()
    file = given.out or KEPT / f"{machine.began.translate({ord(letter): None for letter in ':-+'})}.json"
    measured = Measured(machine=machine, images=OWN if given.images else SYNTHETIC, count=given.count, rounds=given.rounds)
    with tempfile.TemporaryDirectory(prefix="cxr-bench-") if given.keep is None else nullcontext(given.keep) as folder:
        data = Data(Path(folder).absolute(), given.count, given.images)
        data.folder.mkdir(exist_ok=True, parents=True)
        for number, row in enumerate(chosen, 1):
            measured = _with(measured, row, data, console, f"{number} of {len(chosen)}: {row.name}")
            measured.write(file)  # row by row: who has had enough keeps those that are done
    if given.markdown:
        print(markdown(measured.rows))
    else:
        console.print(table(measured))
    console.print(f"results: {file}", highlight=False, soft_wrap=True)
    return exit_codes.FAILED if measured.failed else exit_codes.OK


def _with(measured: Measured, row: Row, data: Data, console: Console, where: str) -> Measured:
    """Measures a row; returns what was found before, and this."""
    with console.status(where) as status:

        def tell(text: str) -> None:
            status.update(f"{where}: {text}")
            if not console.is_terminal:
                console.print(f"{where}: {text}", highlight=False)

        try:
            found = {"rows": {**measured.rows, row.name: measure(row, data, measured.rounds, tell)}}
        except CxrError as error:
            console.print(f"{row.name} failed: {error}", style="red", highlight=False, soft_wrap=True)
            return measured.model_copy(update={"failed": (*measured.failed, row.name)})
    return measured.model_copy(update=found)


def _chosen(given: argparse.Namespace, rows: dict[str, Row]) -> list[Row]:
    """Returns the rows that were asked for.

    Raises:
      UsageError: There is no such row, or a number or path cannot be used.
    """
    if unknown := [name for name in given.rows or () if name not in rows]:
        raise UsageError(f"--rows {unknown[0]}: there is no such row; there are {', '.join(rows)}")
    if given.rounds < 1:
        raise UsageError(f"--rounds {given.rounds}: at least 1 is needed")
    if given.count < FEWEST or given.count % 3:
        raise UsageError(f"--count {given.count}: must be at least {FEWEST}, and three times a whole number")
    if given.images and not given.images.exists():
        raise UsageError(f"--images {given.images}: no such file or folder")
    if given.keep and given.keep.exists():
        raise UsageError(f"--keep {given.keep}: is there already; name a new folder")
    if given.rows:
        return [row for name, row in rows.items() if name in given.rows or (given.whole and name == "whole")]
    return [row for row in rows.values() if row.by_default or given.whole]


if __name__ == "__main__":
    main()

"""The console that commands print on: it shows text as it is, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment

from cxr.core import output
from cxr.core.errors import CxrError
from cxr.core.machine_faults import explained
from cxr.core.visible import visible


class Console(rich.console.Console):
    r"""Rich's console, on which square brackets are no markup and control characters are spelled out.

    A file called `[red]` or `\x1b[2J` would else colour or clear the screen, and `[/]` end the command.
    """

    def __init__(self, **options: Any) -> None:
        """Takes rich's options."""
        super().__init__(**{"markup": False, **options})

    def on_broken_pipe(self) -> None:
        """Nobody reads any more: the command goes on in silence, to write what else it has to write. Rich would end it."""
        self.quiet = True
        output.lost(self.file.fileno())

    def _check_buffer(self) -> None:
        """Writes what was printed.

        Raises:
          CxrError: stdout's disk is full or faulty. Where messages (stderr) cannot be written the command goes on without.
        """
        try:
            super()._check_buffer()
        except OSError as error:
            output.lost(self.file.fileno(), unread=False)  # what is left in the stream would be tried again
            if not self.stderr:
                raise CxrError(explained(output.named(error)) or f"{output.STDOUT}: {error}") from None
            self.quiet = True

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        # Rich's own commands (a bar that moves) are segments with `control`; all others are text.
        return super()._render_buffer(part if part.control else Segment(visible(part.text), part.style) for part in buffer)

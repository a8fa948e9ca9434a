"""Where the Beam-based nodes of a run do their work: `beam` of the configuration, and of a cluster's file where that is the pod."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from cxr.core import beam_options
from cxr.core.strict_model import StrictModel


class Direct(StrictModel):
    """Beam where the node is."""

    runner: Literal["direct"] = "direct"
    workers: int = Field(1, ge=1, description="processes that share each Beam job; more than 1 pays for large data only (docs/scale.md)")
    options: tuple[str, ...] = Field((), description="of Beam; they hold over those for this machine: --runner=… takes the work elsewhere")

    def arguments(self, pool: str | None = None) -> tuple[str, ...]:
        """Returns Beam's options.

        Args:
          pool: host:port of the pool that the processes are of; None: each job makes its own.
        """
        return (*beam_options.local(self.workers, pool), *self.options)

    @contextlib.contextmanager
    def serving(self) -> Iterator[tuple[str, ...]]:
        """Yields Beam's options for the nodes of a local run, and keeps their pool meanwhile, where they need one.

        The pool is of this process, whose fork server has imported TFX: a node that made its own would import all that anew.
        """
        if self.workers == 1:
            yield self.arguments()
            return
        from cxr.data.beam_workers import WorkerPool, serving  # Beam: seconds

        with serving(WorkerPool(preload=None)) as pool:
            yield self.arguments(pool)

"""Where the Beam-based nodes of a run do their work: `beam` of the configuration, and of a cluster's file where that is the pod."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxr.core import beam_options
from cxr.core.strict_model import StrictModel


class Direct(StrictModel):
    """Beam where the node is."""

    runner: Literal["direct"] = "direct"
    workers: int = Field(1, ge=1, description="processes that share each Beam job; more than 1 pays for large data only (docs/scale.md)")
    options: tuple[str, ...] = Field((), description="of Beam; they hold over those for this machine: --runner=… takes the work elsewhere")

    def arguments(self) -> tuple[str, ...]:
        """Returns Beam's options."""
        return (*beam_options.local(self.workers), *self.options)

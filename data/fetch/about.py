"""What one collection in an output folder is: what was asked for, and what came of it (`fetch.json`)."""

from __future__ import annotations

from pydantic import Field

from cxr.core.strict_model import StrictModel
from cxr.data.fetch.selection import Options

VERSION = 2  # raise it when the same collection makes other rows


class About(StrictModel):
    """What one collection in the folder is (`fetch.json`)."""

    version: int = VERSION
    collection: str
    title: str
    page: str
    licence: str
    citation: str
    remark: str
    origin: str = Field(description="`download`, or a hash of the path that --from named")
    options: Options
    complete: bool = False
    images: dict[str, int] = Field({}, description="class: images")
    licences: dict[str, int] = Field({}, description="licence: images")
    left_out: dict[str, int] = Field({}, description="reason: images or files")

    def same_request(self, other: About) -> bool:
        """Tells whether the same was asked for."""
        return (self.version, self.origin, self.options) == (other.version, other.origin, other.options)

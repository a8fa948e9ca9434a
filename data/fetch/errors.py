"""What can go wrong between here and a collection."""

from __future__ import annotations

from cxr.core.errors import CxrError


class FetchError(CxrError):
    """It cannot be had, or not like this; what was downloaded so far is kept where it can be used."""


class Transient(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
      reason: For the user, without the address.
      wait: Seconds that the server asks for, None where it does not.
    """

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.reason = reason
        self.wait = wait

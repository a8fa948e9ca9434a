"""Why a file cannot be used as a radiograph. Every reason is a class, so that callers can tell and count them."""

from __future__ import annotations

from cxr.core.errors import CxrError


class ImageError(CxrError):
    """A file that cannot be used; `reason` is its short name in lists of rejects."""

    reason = "unreadable"


class NotAnImage(ImageError):
    """Empty, or of no known image format."""

    reason = "not an image"


class Truncated(ImageError):
    """Ends before its picture does."""

    reason = "truncated"


class TooManyPixels(ImageError):
    """Larger than allowed; found out before anything is decoded."""

    reason = "too many pixels"


class TooSmall(ImageError):
    """Too few pixels to be a radiograph."""

    reason = "too small"


class Blank(ImageError):
    """One grey level throughout."""

    reason = "blank"


class SeveralFrames(ImageError):
    """A film or a stack; which frame to take is not for this project to guess."""

    reason = "several frames"


class Unreadable(ImageError):
    """Of a known format, but damaged or of a kind that cannot be decoded."""

    reason = "unreadable"

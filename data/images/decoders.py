"""What decoders of pictures are not to be given, and what their errors mean, whoever calls them."""

from __future__ import annotations

from cxr.data.images.errors import Unreadable

MAX_SCANS = 500  # of a progressive JPEG; usual are about 10
_SCAN = b"\xff\xda"
_CUT = ("truncated", "less than expected", "unexpected end", "unexpected eof", "incomplete", "actual length", "not enough")


def check_scans(jpeg: bytes) -> None:
    """Refuses a progressive JPEG of so many scans that decoding would take minutes; each goes over the whole picture again.

    Raises:
      Unreadable: It has more than MAX_SCANS.
    """
    if jpeg.count(_SCAN) > MAX_SCANS:  # between scans an FF is always followed by 00 or a restart marker
        raise Unreadable(f"a JPEG of more than {MAX_SCANS} scans")


def says_truncated(error: BaseException) -> bool:
    """Tells by its words whether a decoder's error is about a picture that ends early."""
    return any(word in str(error).lower() for word in _CUT)

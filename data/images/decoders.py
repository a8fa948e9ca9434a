"""What decoders of pictures are not to be given, and what their errors mean, whoever calls them."""

from __future__ import annotations

from typing import IO

from cxr.data.images.errors import Truncated, Unreadable

MAX_SCANS = 500  # of a progressive JPEG; usual are about 10
JPEG = b"\xff\xd8"  # how JPEG and JPEG-LS begin
SCAN = b"\xff\xda"  # what a scan of a JPEG begins with
_END = b"\xff\xd9"
_CHUNK = 1 << 20
_CUT = ("truncated", "less than expected", "unexpected end", "unexpected eof", "incomplete", "actual length", "not enough")


def check_scans(jpeg: IO[bytes]) -> None:
    """Refuses a progressive JPEG of so many scans that decoding would take minutes; each goes over the whole picture again.

    Args:
      jpeg: Read from its start, a part at a time: whatever may follow the picture, it need not fit into the memory. Stays where it was.

    Raises:
      Unreadable: It has more than MAX_SCANS.
    """
    place = jpeg.tell()
    jpeg.seek(0)
    scans, last = 0, b""
    while chunk := jpeg.read(_CHUNK):
        scans += (last + chunk).count(SCAN)  # within a scan an FF is always followed by 00 or a restart marker
        if scans > MAX_SCANS:
            raise Unreadable(f"a JPEG of more than {MAX_SCANS} scans")
        last = chunk[-1:]
    jpeg.seek(place)


def check_end(jpeg: bytes) -> None:
    """Refuses a JPEG or JPEG-LS that ends within its last scan: pylibjpeg fills in what is missing.

    Raises:
      Truncated: It does.
    """
    if jpeg.rfind(_END) < jpeg.rfind(SCAN):  # of what is cut before its first scan, decoders say so
        raise Truncated("a JPEG that is truncated")


def says_truncated(error: BaseException) -> bool:
    """Tells by its words whether a decoder's error is about a picture that ends early."""
    return any(word in str(error).lower() for word in _CUT)

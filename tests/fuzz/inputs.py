"""Inputs from good ones: edits at any place, of the kinds that readers stumble over."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

MAX_EDITS = 6
LARGEST = 2**16  # bytes; a reader's mistakes show in small files, and large ones cost time
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_FORMATS = ("<B", "<H", ">H", "<I", ">I", "<Q", ">Q")
# Of texts: what YAML, JSON, CSV, protobuf text and terminals give a meaning to.
_WORDS = (
    *(b"\0", b"\n", b"\r", b"\t", b'"', b"'", b",", b";", b":", b"#", b"{}", b"[]", b"../", b"-1", b"null", b"true"),
    *(b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system [id]", b"[" * 300, b"{" * 300, b"- " * 300),
    *(b"9" * 5000, b"1e999", b".nan", b".inf", b"NaN", b"-Infinity", b"0x", b"2001-99-99"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\x80" * 9 + b"\x01", b"\x1b[31m", b"=cmd()", b"[bold]"),
)


class Edit(NamedTuple):
    """One change of some bytes.

    Attributes:
      kind: Which change; any number.
      where: Place, from 0 to 1 of the length.
      value: What the change is made with; any number from 0.
    """

    kind: int
    where: float
    value: int


def edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Returns the bytes after the changes, one after the other."""
    for kind, where, value in edits:
        data = _KINDS[kind % len(_KINDS)](data, min(int(where * len(data)), max(len(data) - 1, 0)), value)[:LARGEST]
    return data


def random_edits(rng: Random) -> list[Edit]:
    """Draws some changes; few more often than many."""
    return [Edit(rng.randrange(256), rng.random() ** rng.choice((1, 3)), rng.randrange(2**32)) for _ in range(rng.randint(1, MAX_EDITS))]


def drawn(rng: Random, seeds: Sequence[bytes], make: Callable[[Random], bytes] | None) -> bytes:
    """Draws an input: a seed or a made one, edited more often than not."""
    data = make(rng) if make is not None and rng.random() < 0.5 else rng.choice(seeds)
    return data if rng.random() < 0.2 else edited(data, random_edits(rng))


def _put(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _number(data: bytes, at: int, value: int) -> bytes:
    """A field of one to eight bytes becomes a number at the edge of some type, or the length of the file."""
    layout = _FORMATS[value % len(_FORMATS)]
    numbers = (*_NUMBERS, len(data), value)
    number = numbers[value // len(_FORMATS) % len(numbers)]
    return _put(data, at, struct.pack(layout, number % 2 ** (8 * struct.calcsize(layout))))


def _moved(data: bytes, at: int, value: int) -> bytes:
    source = value % max(len(data), 1)
    return data[:at] + data[source : source + 1 + value % 64] + data[at:]


_KINDS: tuple[Callable[[bytes, int, int], bytes], ...] = (
    lambda data, at, value: _put(data, at, bytes([data[at] ^ 1 << value % 8])) if data else data,
    lambda data, at, value: _put(data, at, bytes([value % 256])),
    _number,
    _number,  # twice: the most fruitful kind for binary formats
    lambda data, at, value: data[:at],
    lambda data, at, value: data[:at] + data[at + 1 + value % 64 :],
    lambda data, at, value: data[:at] + bytes([value % 256]) * (1 + value // 256 % 64) + data[at:],
    _moved,
    lambda data, at, value: data[:at] + _WORDS[value % len(_WORDS)] + data[at:],
    lambda data, at, value: _put(data, at, _WORDS[value % len(_WORDS)]),
)

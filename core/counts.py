"""How messages count: a number, and the words that go with it."""

from __future__ import annotations


def how_many(number: int, one: str, many: str = "") -> str:
    """Returns "1 image", "0 images", "2 images".

    Args:
      number: Of things.
      one: What follows the number 1; a verb may be part of it ("file is").
      many: What follows any other number ("files are"); empty: `one` with an s.
    """
    return f"{number} {agreeing(number, one, many or f'{one}s')}"


def agreeing(number: int, one: str, many: str) -> str:
    """Returns what goes with a number that stands elsewhere, as the verb in "1 of 3 images was", "2 of 3 images were"."""
    return one if number == 1 else many

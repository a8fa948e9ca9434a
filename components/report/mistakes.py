"""A model's most confident wrong answers as the page shows them: with pictures and names."""

from __future__ import annotations

from collections.abc import Sequence

from cxr.components.answers.most_confident import Confident, named
from cxr.components.report.page.content import Answer, Mistake, Mistakes
from cxr.components.report.pictures import Seen
from cxr.core import features


def explained(found: Confident, class_names: Sequence[str], seen: Seen) -> Mistakes:
    """Adds pictures and names.

    Args:
      found: The mistakes.
      class_names: In the order of the probabilities.
      seen: What the pass over the examples found.
    """
    shown = []
    for row, number in enumerate(found.images):
        answers = tuple(
            Answer(name, tuple(map(float, given[row])), _name(int(named(given)[row]), class_names)) for name, given in found.answers.items()
        )
        label = class_names[int(found.labels[row])]
        source = seen.sources.get(number, features.UNKNOWN)
        shown.append(Mistake(label, source, seen.found.get(number), answers, seen.overlays.get(number)))
    return Mistakes(found.model, found.total, tuple(shown), found.wrong_by_all)


def _name(index: int, class_names: Sequence[str]) -> str:
    return class_names[index] if index >= 0 else "no prediction"

"""Classes by their names."""

from __future__ import annotations

from collections.abc import Sequence

from cxr.core.errors import UsageError


def index_of(class_name: str, class_names: Sequence[str]) -> int:
    """Returns the position of a class that a user named with `--class`.

    Raises:
      UsageError: The model has no such class.
    """
    if class_name not in class_names:
        raise UsageError(f"--class {class_name}: the model knows {', '.join(class_names)}")
    return class_names.index(class_name)

"""What the page says of a training, from its history."""

from __future__ import annotations

from cxr.components.report.page.content import Stage, Training
from cxr.components.report.redaction import without_paths
from cxr.core.spans import span
from cxr.trainer.history import History


def read_training(folder: str) -> Training:
    """Returns how a model was trained.

    Args:
      folder: URI of the ModelRun artifact.

    Raises:
      CxrError: There is no history, or a damaged one.
    """
    history = History.read(folder)
    facts = {
        "backbone": history.backbone,
        "weights": without_paths(history.weights_note),
        "precision": history.precision,
        "weights of stage": history.kept_stage or "",
        "images": ", ".join(f"{split} {count}" for split, count in history.images.items()),
        "training took": span(history.seconds) if history.seconds is not None else "",
    }
    scores = history.validation.members | history.validation.methods
    return Training(
        tuple(Stage(s.name, tuple(s.rows), s.best_epoch, s.stopped_early, s.resumed_from) for s in history.stages),
        {key: value for key, value in facts.items() if value},
        history.method,
        dict(zip(history.validation.members, history.shares or (), strict=False)),  # no names without a validation split
        {name: (score.loss, score.accuracy) for name, score in scores.items()},
        history.untrained,
    )

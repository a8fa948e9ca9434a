import numpy as np

from cxr.core.folds import deal
from cxr.trainer.crossval.members import Member
from cxr.trainer.crossval.subject import Subject, part_of
from cxr.trainer.model_config import Model

LABELS = np.arange(40) % 2
PATIENTS = np.array([f"p{i}" for i in range(40)])


def test_kept_answers_hang_on_the_sources_of_what_is_learnt_from(tmp_path):
    """They weigh the images where `source_weights` is set."""
    fold = deal(LABELS, PATIENTS, 5, 1)[0]
    part = part_of(LABELS, fold, PATIENTS, 1)

    def file(sources):
        config = {"m": Model(backbone="MobileNet", source_weights=True)}
        tables = {"m": np.zeros((1, 40, 3), np.float32)}
        subject = Subject(
            models=config, ensemble=None, classes=2, tables=tables, labels=LABELS, sources=sources, keys={"m": "key"}, code="code"
        )
        return Member(subject, "m", part, []).file(tmp_path)

    one, two, asked = np.full(40, "x"), np.full(40, "x"), np.full(40, "x")
    two[part.train[0]] = "y"
    asked[part.test[0]] = "y"
    assert file(one) != file(two)
    assert file(one) == file(asked)

"""The records that a model was trained on, found from what a user names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cxr.core.errors import UsageError
from cxr.core.features import TRAIN, VAL
from cxr.data.ingest.dataset import DATASET, Dataset, read_dataset
from cxr.pipeline.kept_runs import KeptRun, report_of, run_that_pushed, unread_pushers
from cxr.pipeline.outside.gathered import SPLIT, Gathered, Stage, gather
from cxr.pipeline.outside.labelled import open_labelled, reading_config
from cxr.pipeline.outside.versions import find_version
from cxr.pipeline.workspace import REPORT, Workspace


@dataclass(frozen=True)
class Training:
    """Records that a model was trained on.

    Attributes:
      folder: Theirs.
      dataset: Their description.
      version: Folder of the model, where one was named; None: the records or a run were.
    """

    folder: Path
    dataset: Dataset
    version: Path | None = None

    def gather(self, small: bool, stage: Stage) -> Gathered:
        """Reads the training and the validation split, which a model is trained on and chosen by; see `gathered.gather`.

        Returns:
          Their images, with the split of each in the column SPLIT.
        """
        config = reading_config(self.dataset.class_names, self.dataset.config.max_side)
        parts = []
        for split in (name for name in (TRAIN, VAL) if name in self.dataset.splits):
            images = open_labelled(str(self.folder), split, config)
            part = gather(images, small, f"reading {split} of the training data", stage)
            parts.append(replace(part, table=part.table.assign(**{SPLIT: split})))
        return parts[0] + parts[1] if len(parts) > 1 else parts[0]


def find_training(against: str, workspace: Workspace, option: str = "--against") -> Training:
    """Finds the records that new data are compared with.

    Args:
      against: Records of `cxr ingest`, the folder of a run, or a model as `find_version` takes it.
      workspace: Where names are looked up.
      option: That named it, for messages.

    Raises:
      UsageError: None of these, or the records cannot be found from it.
      CxrError: What a run or a push left there is damaged.
    """
    path, version = Path(against), None
    if (path / DATASET).is_file():
        folder = path
    elif (path / REPORT).is_file():
        folder = Path(report_of(KeptRun(path)).data)
    else:
        version = find_version(against, workspace, option)
        run = run_that_pushed(version)
        if run is None:
            unread = "".join(f" ({REPORT} of run {one.name} cannot be read: {one.damage})" for one in unread_pushers(version, None))
            raise UsageError(f"{option} {against}: no run beside it says what it was trained on{unread}; name its records")
        folder = Path(report_of(run).data)
    if not (folder / DATASET).is_file():
        raise UsageError(f"{option} {against}: it was trained on {folder}, which is gone; name its records, wherever they are now")
    dataset = read_dataset(folder)
    if TRAIN not in dataset.splits:
        raise UsageError(f"{option} {folder}: has no split {TRAIN!r}; name records that a model was trained on")
    return Training(folder, dataset, version)

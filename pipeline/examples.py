"""The examples of a run: found, ingested from images, or made."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cxr.core import beam_options
from cxr.core.errors import CxrError, UsageError
from cxr.core.features import TRAIN, VAL
from cxr.core.file_names import check_readable, file_name_of
from cxr.core.imports import imported_beside
from cxr.data.ingest.damage import check_sizes
from cxr.data.ingest.dataset import DATASET, Dataset, read_dataset
from cxr.data.ingest.fingerprint import WITHOUT_EFFECT
from cxr.data.ingest.ingest_config import Ingest, Spelling, dotted
from cxr.pipeline.data_settings import complaint, without_effect
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.workspace import Workspace

CALLED_BY = "CXR_CALLED_BY"  # set to "make" by the Makefile, so that messages say what `make run` understands


@dataclass(frozen=True)
class Examples:
    """A folder that `cxr ingest` wrote."""

    path: Path
    splits: tuple[str, ...]
    synthetic: bool
    made_with: Ingest  # the settings that they were ingested with


def _check_source(data: str) -> None:
    """Looks whether there is such a source.

    Raises:
      UsageError: There is none, or it does not lie on this machine.
    """
    from cxr.data.ingest.sources import is_uri

    if is_uri(data):
        raise UsageError(
            f"--data {data}: `cxr run` reads folders of this machine; copy the records here (gcloud storage cp -r, aws s3 cp --recursive), "
            "or run on Kubeflow, which reads gs:// and s3:// (docs/kubeflow.md)"
        )
    if not Path(data).exists():
        raise UsageError(
            f"--data {data}: no such file or folder; give images (a folder per class, a manifest CSV) or a folder of `cxr ingest`"
        )


def check_data(config: Config, data: str | None) -> None:
    """Refuses data that are not there, and none where none are made.

    Raises:
      UsageError: See above.
    """
    if data is not None:
        _check_source(data)
    elif config.demo_data is None:
        raise UsageError(f"--data is missing: configuration {config.name!r} needs images (only one with `demo_data` makes its own)")


def prepare_data(config: Config, data: str | None, workspace: Workspace, console: Console) -> Examples:
    """Returns examples to run on; images are ingested first, unless an earlier run did that and they are as they were.

    Args:
      config: Its sections `data` and `demo_data`.
      data: A folder that `cxr ingest` wrote, a source of images, or None for the configuration's demo data.
      workspace: Where ingested and demo data are kept.
      console: For progress.

    Raises:
      UsageError: There is no such source, or nothing to run on.
      CxrError: The source cannot be used, or records contradict what the configuration says about their making.
    """
    check_data(config, data)
    if data is not None and (Path(data) / DATASET).is_file():
        examples = _examples(Path(data), config)
        if keys := without_effect(config.data, examples.made_with):
            if config.demo_data is None:
                raise CxrError(complaint(data, keys))
            # such a configuration states `data` for the images that it makes itself
            console.print(f"warning: {complaint(data, keys)}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        return examples
    if data is not None:
        source = Path(data)
        real = source.resolve()  # a link is no other source
        # each source and way of ingesting has a folder of its own, so that no run changes what an earlier one was made of
        settings = config.data.model_dump(mode="json", exclude=WITHOUT_EFFECT)
        key = hashlib.sha256(json.dumps([str(real), settings]).encode()).hexdigest()[:12]
        records = workspace.data / f"{file_name_of(real.stem)}-{key}"
    else:
        from cxr.data.demo.generate import make_demo_data

        demo = config.demo_data
        assert demo is not None  # check_data
        changed = demo.model_dump(exclude={"images", "image_size", "seed"}, exclude_defaults=True)
        parts = [demo.images, demo.image_size, demo.seed, *changed.values()]
        name = re.sub(r"[^0-9a-z.]+", "-", f"synthetic-{'-'.join(map(str, parts)).lower()}").strip("-")
        with imported_beside("cxr.pipeline.graph"):  # TFX, which a run needs next; other processes draw
            source = make_demo_data(workspace.data / name, **demo.model_dump(), console=console)
        records = workspace.data / f"{name}-records"
    from cxr.data.ingest.ingest import ingest  # Beam and TensorFlow: seconds
    from cxr.data.ingest.pseudonyms import key_path
    from cxr.data.ingest.summary import remarks

    key_file = key_path(workspace.root)
    dataset = ingest(
        source,
        records,
        config.data,
        key_file=key_file,
        console=console,
        overwrite=True,
        beam_options=(*beam_options.reading(config.beam.workers), *config.beam.options),
        spelled=_spelling(),
    )
    for line in remarks(dataset, records):
        console.print(line, highlight=False, soft_wrap=True)
    return _examples(records, config)


def check_ensemble(config: Config, dataset: Dataset) -> None:
    """Refuses, before anything is trained, data that the ensemble would refuse once all members are.

    Raises:
      CxrError: There are too few validation patients; see `check_fit`.
    """
    if config.ensemble is None or dataset.fewest_patients(VAL) > 1:
        return
    from cxr.trainer.ensemble.fitting_data import check_fit  # TensorFlow: seconds, and most data have more

    few = dataset.fewest_patients(TRAIN) < 2
    without = [name for name, model in config.models.items() if few or model.fine_tuning]
    check_fit(config.ensemble, without, dataset.fewest_patients(VAL))


def _spelling() -> Spelling:
    """Returns how the command that was called spells a setting."""
    if os.environ.get(CALLED_BY) == "make":
        return lambda name, value: f"ARGS='{dotted(name, value)}'"
    return lambda name, value: f"'{dotted(name, value)}'" if " " in str(value) else dotted(name, value)


def _examples(folder: Path, config: Config) -> Examples:
    check_readable("--data", folder)
    dataset = read_dataset(folder)
    check_sizes(folder, dataset)
    if tuple(dataset.class_names) != config.class_names:
        raise CxrError(
            f"{folder}: ingested for the classes {', '.join(dataset.class_names)}, but data.class_names of the configuration is "
            f"{', '.join(config.class_names)}; ingest again or change data.class_names"
        )
    if dataset.config.only_split:
        raise CxrError(
            f"{folder}: was ingested as the one split {dataset.config.only_split!r}, to measure models on (cxr evaluate --data {folder}); "
            "to train, ingest the images again without --split"
        )
    if config.gate.split not in dataset.splits:
        raise CxrError(
            f"{folder}: has the splits {', '.join(dataset.splits)}, and none to judge models on ({config.gate.split}); ingest again with a "
            "share for it in data.splits, or name it in the column 'split'"
        )
    return Examples(folder.absolute(), tuple(dataset.splits), dataset.synthetic, dataset.config)

"""From the members' Model artifacts to the ensemble's: what the EnsembleTrainer component runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.features import VAL
from cxr.trainer import artifact, files, model_info
from cxr.trainer.calibration import outside
from cxr.trainer.calibration.settling import settle
from cxr.trainer.calibration_info import Outside
from cxr.trainer.curves import log_stages, write_picture
from cxr.trainer.ensemble.fitting_data import fitting_data
from cxr.trainer.ensemble.joining import Joined, join, joint_layers, joint_model
from cxr.trainer.export.network import joint_network
from cxr.trainer.export.recorded_requests import recorded_answers
from cxr.trainer.export.saved_model import export_model
from cxr.trainer.export.trained_answers import GPU_TOLERANCE
from cxr.trainer.history import History
from cxr.trainer.model_config import Ensemble
from cxr.trainer.models.keras_files import load_model
from cxr.trainer.training_data import joint_data, joint_training_images, save_training_images
from cxr.trainer.transform_graph import TransformGraph


def train_ensemble(
    config: Ensemble,
    *,
    members: Mapping[str, str],
    has_validation: bool,
    transform_graph: str,
    class_names: Sequence[str],
    model_uri: str,
    run_uri: str,
) -> Joined:
    """Joins trained members into one model and exports it.

    Args:
      config: How to join them.
      members: Name to URI of the Model artifact.
      has_validation: Whether the members saved predictions on a validation split.
      transform_graph: URI of the TransformGraph artifact.
      class_names: In the order of the probabilities.
      model_uri: Model artifact to write.
      run_uri: ModelRun artifact to write: history.json and, where a layer was trained, learning_curves.png and TensorBoard's logs.

    Raises:
      CxrError: Members that do not fit together or the configuration, or an export that fails its check.
    """
    transform = TransformGraph(transform_graph, class_names)
    infos = {name: model_info.read_info(uri) for name, uri in members.items()}
    for name, info in infos.items():
        if (info.class_names, info.image_size) != (transform.class_names, transform.image_size):
            raise CxrError(
                f"{members[name]}: {name} was trained for {', '.join(info.class_names)} at {info.image_size} pixels, "
                f"the ensemble is for {', '.join(class_names)} at {transform.image_size}; train it again"
            )

    data = fitting_data(config, members, has_validation=has_validation)
    joined = join(config, list(members), data.fit, data.choose)
    report = {**joined.report(), "data": data.sources}
    _write_run(joined, report, run_uri)
    # The members' answers are calibrated already; what joins them makes them too timid or too sure again.
    val = data.validation
    answers, labels = ({VAL: joined.answer(val)}, {VAL: val.labels.argmax(axis=1)}) if val is not None else ({}, {})
    settled = settle(config, class_names, answers, labels)

    shift, border = None, None
    if config.outside_share is not None and val is not None:
        if val.unlike_training is None:
            border = Outside(share=config.outside_share, note="not every member has the output: the ensemble has none")
        else:
            shift, border = outside.fit_joint(val.unlike_training, config.outside_share)
    detectors = {name: detector for name, uri in members.items() if (detector := outside.load(uri))}

    loaded = {name: load_model(uri) for name, uri in members.items()}
    model = joint_model(loaded, joined.layer, transform.image_size, settled.calibration.temperature)
    path = artifact.keras_path(model_uri)
    files.make_parent(path)
    model.save(path)
    joint_layers(joined.layer, len(members), len(class_names), settled.calibration.temperature).save(artifact.joint_path(model_uri))
    files.copy_folder(transform_graph, artifact.transform_path(model_uri))
    keys = joint_training_images({artifact.serving_dir(uri): infos[name] for name, uri in members.items()})
    export_model(
        joint_network(model, loaded, detectors, shift),
        name=features.ENSEMBLE,
        transform=transform,
        info={
            "weights": ", ".join(sorted({info.weights for info in infos.values()})),
            "weights_note": _weights_note({name: info.weights_note for name, info in infos.items()}),
            "members": {name: info.model_dump(mode="json") for name, info in infos.items()},
            "ensemble_method": joined.method,
            "ensemble": report,
            "data_used": data.sources,
            "preprocessing": next(iter(infos.values())).preprocessing,
            **joint_data(list(infos.values()), keys),
            **settled.info(),
            "outside": border.model_dump(mode="json") if border else None,
        },
        directory=artifact.serving_dir(model_uri),
        max_side=next(iter(infos.values())).max_side,
    )
    _hold_to_members(artifact.serving_dir(model_uri), {name: artifact.serving_dir(uri) for name, uri in members.items()})
    if keys is not None:
        save_training_images(artifact.serving_dir(model_uri), keys)
    return joined


def _hold_to_members(ensemble: str, members: Mapping[str, str]) -> None:
    """Raises where a member answers otherwise inside the ensemble: later nodes join what the members answered by themselves."""
    for name, member in members.items():
        alone = recorded_answers(member, features.PROBABILITIES)
        inside = recorded_answers(ensemble, features.MEMBER_PROBABILITIES.format(member=name))
        # A member may have been trained on a GPU and joined without one.
        if len(alone) != len(inside) or not np.mean(np.abs(np.subtract(alone, inside))) <= GPU_TOLERANCE:
            raise CxrError(f"{member}: inside the ensemble {name} does not answer as it does alone; train all members again in one run")


def _weights_note(notes: Mapping[str, str]) -> str:
    """Joins the members' notes; one that several share stands there once."""
    sharing = {note: [name for name, other in notes.items() if other == note] for note in notes.values() if note}
    return "; ".join(f"{', '.join(names)}: {note}" for note, names in sharing.items())


def _write_run(joined: Joined, report: dict[str, Any], run_uri: str) -> None:
    History(name=features.ENSEMBLE, stages=joined.stages, **report).write(run_uri)
    if joined.stages:  # else nothing was trained, there are no curves
        write_picture(run_uri, joined.stages, features.ENSEMBLE)
        log_stages(run_uri, joined.stages)

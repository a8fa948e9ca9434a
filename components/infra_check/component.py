"""The TFX component around `check_model`; its blessing is what the Pusher asks for."""

from pathlib import Path

from tfx import v1 as tfx
from tfx.utils import path_utils

from cxr.components.baseline import champion
from cxr.components.infra_check import checked
from cxr.components.infra_check.reasons import REASONS
from cxr.components.infra_check.replay import check_model


@tfx.dsl.components.component
def InfraCheck(
    model: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Model],
    blessing: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.InfraBlessing],
    model_name: tfx.dsl.components.Parameter[str],
    load_seconds: tfx.dsl.components.Parameter[float],
    tolerance: tfx.dsl.components.Parameter[float],
    code_version: tfx.dsl.components.Parameter[str],  # not read: changed code must not be served from the cache
) -> None:
    """Blesses a model that a server in a fresh process loads and that answers its recorded requests rightly.

    `code_version` is not read: what changed code or libraries would find must not come from the cache. A check that ran out of time raises,
    for a verdict would be kept.
    """
    served = path_utils.serving_model_path(model.uri)
    fingerprint = champion.fingerprint(Path(served))  # before: what changes while a server loads it was not checked
    verdict = check_model(served, model_name, load_seconds=load_seconds, tolerance=tolerance)
    # Property and file names are those of TFX's InfraValidator, which the Pusher and other tools know.
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("INFRA_BLESSED" if verdict.blessed else "INFRA_NOT_BLESSED")).touch()
    (folder / REASONS).write_text("".join(f"{problem}\n" for problem in verdict.problems), encoding="utf-8")
    checked.note(folder, fingerprint)
    blessing.set_int_custom_property("blessed", int(verdict.blessed))

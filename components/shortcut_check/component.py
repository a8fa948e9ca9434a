"""The TFX component around `judge`; the Pusher asks for its blessing beside the other two."""

import json
from pathlib import Path

from tfx import v1 as tfx
from tfx.types import artifact_utils
from tfx.utils import path_utils

from cxr.components.shortcut_check.evaluated import read_evaluated
from cxr.components.shortcut_check.judge import judge, read_margin
from cxr.components.shortcut_check.masked_models import ask_masked, summaries
from cxr.components.shortcut_check.told import join_told, save_told
from cxr.components.shortcut_check.verdict import MaskedAnswers
from cxr.data.audit.audit_config import Audit as Settings
from cxr.data.audit.records import read_pictures
from cxr.data.audit.result import AuditResult, load_draws


@tfx.dsl.components.component
def ShortcutCheck(
    model: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Model],
    evaluation: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ModelEvaluation],
    audit: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ExampleAnomalies],
    examples: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Examples],
    # one of TFX's own types: its entry point on Kubeflow knows no others
    blessing: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.InfraBlessing],
    model_name: tfx.dsl.components.Parameter[str],
    class_names: tfx.dsl.components.Parameter[str],  # JSON list
    margin: tfx.dsl.components.Parameter[str],  # JSON: a number or null
    settings: tfx.dsl.components.Parameter[str],  # JSON of data.audit.audit_config.Audit
    code_version: tfx.dsl.components.Parameter[str],  # not read: changed code must not be served from the cache
    # Of an ensemble: the blessings of its members, in the order in which they were joined. As many as MOST_MEMBERS, which a test compares:
    # TFX reads these from the source.
    member_1: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
    member_2: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
    member_3: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
    member_4: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
    member_5: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
    member_6: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
    member_7: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
    member_8: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.InfraBlessing] = None,
) -> None:
    """Blesses a model that is better than every shortcut, and shows how it answers where the lungs are blacked out.

    An ensemble is not asked about them: its members have been.
    """
    members = [one for one in (member_1, member_2, member_3, member_4, member_5, member_6, member_7, member_8) if one]
    options, result, names = Settings.model_validate_json(settings), AuditResult.load(Path(audit.uri)), json.loads(class_names)
    masked: tuple[MaskedAnswers, ...] = ()
    if options.masked_models:
        patterns = [f"{artifact_utils.get_split_uri([examples], result.split)}/*"]
        pictures = read_pictures(patterns, names, options.masked_images, options.seed)
        if members:
            told = join_told(model.uri, [Path(member.uri) for member in members], pictures)
        else:
            told = ask_masked(model_name, path_utils.serving_model_path(model.uri), pictures, names)
            save_told(told, pictures, Path(blessing.uri))
        masked = summaries(model_name, told, pictures, names)
    verdict = judge(model_name, read_evaluated(evaluation.uri), result, load_draws(Path(audit.uri)), read_margin(margin), masked)
    verdict.save(Path(blessing.uri))
    blessing.set_int_custom_property("blessed", int(verdict.blessed))

"""The TFX component around `run_audit`."""

import json
from pathlib import Path

from tfx import v1 as tfx
from tfx.types import artifact_utils

from cxr.data.audit.audit import run_audit
from cxr.data.audit.audit_config import Audit as Settings
from cxr.data.audit.records import read_tables


@tfx.dsl.components.component
def Audit(
    examples: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Examples],
    # one of TFX's own types: its entry point on Kubeflow knows no others
    audit: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.ExampleAnomalies],
    class_names: tfx.dsl.components.Parameter[str],  # JSON list
    split: tfx.dsl.components.Parameter[str],  # the gate's
    settings: tfx.dsl.components.Parameter[str],  # JSON of data.audit.audit_config.Audit
    code_version: tfx.dsl.components.Parameter[str],  # not read: changed code must not be served from the cache
) -> None:
    """Writes audit.json and the draws beside it (data/audit/result.py)."""
    names = json.loads(class_names)
    splits = artifact_utils.decode_split_names(examples.split_names)
    tables = read_tables({name: [f"{artifact_utils.get_split_uri([examples], name)}/*"] for name in splits}, names)
    result, draws = run_audit(tables, names, Settings.model_validate_json(settings), split)
    result.save(Path(audit.uri), draws)

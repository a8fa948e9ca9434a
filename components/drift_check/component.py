"""The TFX component around `compare`."""

from pathlib import Path

from tfx import v1 as tfx

from cxr.components.drift_check.compare import compare
from cxr.components.drift_check.drift_config import Drift


@tfx.dsl.components.component
def DriftCheck(
    statistics: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ExampleStatistics],
    # one of TFX's own types: its entry point on Kubeflow knows no others
    drift: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.ExampleAnomalies],
    settings: tfx.dsl.components.Parameter[str],  # JSON of drift_config.Drift
    code_version: tfx.dsl.components.Parameter[str],  # not read: changed code must not be served from the cache
    previous: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ExampleStatistics] = None,
) -> None:
    """Writes drift.json (result.py). It never stops a run: AnomalyCheck does, so that the artifact remains."""
    found = compare(statistics.uri, previous.uri if previous else None, Drift.model_validate_json(settings))
    found.save(Path(drift.uri))

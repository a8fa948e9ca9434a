"""The TFX component around `describe_anomalies`."""

from tfx import v1 as tfx

from cxr.components.anomaly_check.anomalies import describe_anomalies
from cxr.core.errors import CxrError


@tfx.dsl.components.component
def AnomalyCheck(
    anomalies: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ExampleAnomalies],
    verdict: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.String],
    code_version: tfx.dsl.components.Parameter[str],  # not read: changed code must not be served from the cache
) -> None:
    """Fails with the text of every anomaly; else writes the verdict that lets Transform begin."""
    found = describe_anomalies(anomalies.uri)
    if found:
        raise CxrError("the data break the schema:\n" + "\n".join(f"  {sentence}" for sentence in found))
    verdict.value = "no anomalies"

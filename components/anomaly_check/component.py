"""The TFX component that data pass or not, by what ExampleValidator and DriftCheck found."""

import logging
from pathlib import Path

from tfx import v1 as tfx

from cxr.components.anomaly_check.anomalies import describe_anomalies
from cxr.components.drift_check.kept import keep
from cxr.components.drift_check.result import DriftResult
from cxr.core.errors import CxrError


@tfx.dsl.components.component
def AnomalyCheck(
    anomalies: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ExampleAnomalies],
    drift: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ExampleAnomalies],
    # of data that passed: the next run finds here what it is compared with (drift_check/strategy.py, drift_check/kept.py)
    statistics: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ExampleStatistics],
    verdict: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.String],
    keep_in: tfx.dsl.components.Parameter[str],  # folder for that; empty: the metadata store tells
    code_version: tfx.dsl.components.Parameter[str],  # not read: changed code must not be served from the cache
) -> None:
    """Fails with the text of every anomaly, or of drift that stops a run; else writes the verdict that lets Transform begin."""
    found = describe_anomalies(anomalies.uri)
    if found:
        raise CxrError("the data break the schema:\n" + "\n".join(f"  {sentence}" for sentence in found))
    moved = DriftResult.load(Path(drift.uri))
    if moved.stops:
        raise CxrError("; ".join(moved.findings) + "; drift.fail=false goes on all the same")
    if keep_in:
        try:
            keep(Path(statistics.uri), Path(keep_in))
        except OSError as error:  # the data have passed all the same
            logging.warning("%s: the next run will not know these data (%s)", keep_in, error.strerror)
    verdict.value = "no anomalies"

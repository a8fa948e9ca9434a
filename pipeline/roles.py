"""What the graph's nodes are called: one id for what a run has once, a role and a model's name for what each candidate has.

Imports nothing, so that whoever reads what nodes left need not import TFX.
"""

from __future__ import annotations

# === Once in a run; those of TFX's own components are their classes' names ===
EXAMPLE_GEN = "ImportExampleGen"
STATISTICS_GEN = "StatisticsGen"
INFERRED_SCHEMA = "InferredSchema"
EXAMPLE_VALIDATOR = "ExampleValidator"
PREVIOUS_STATISTICS = "PreviousStatistics"
DRIFT_CHECK = "DriftCheck"
ANOMALY_CHECK = "AnomalyCheck"
AUDIT = "Audit"
TRANSFORM = "Transform"
REPORT = "Report"  # makes report.html; on Kubeflow only

# === Of each candidate ===
TRAINER = "Trainer"
EVALUATOR = "Evaluator"
INFRA_CHECK = "InfraCheck"
SHORTCUT_CHECK = "ShortcutCheck"
BASELINE = "Baseline"
PUSHER = "Pusher"
EXPLANATION = "Explanation"


def node_id(role: str, model: str) -> str:
    """Returns the id of a candidate's node; no `_` and no `.`, which Kubeflow would refuse."""
    return f"{role}-{model}"


def role_of(node: str) -> str:
    """Returns the role of a candidate's node, or the id of one that a run has once."""
    return node.partition("-")[0]

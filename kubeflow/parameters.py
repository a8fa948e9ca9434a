"""The run's parameters: what can be changed at submission without compiling anew.

TFX's RuntimeParameter stands for a whole execution property only, and the compiler drops its default. Epochs and thresholds lie inside JSON
texts (`custom_config`, `eval_config`). So the compiler adds each parameter to the pipeline itself: a `Place` without `pointer` replaces the
whole property; with a `pointer` the task gets the parameter as a further input, and the entry point writes it into the JSON at run time.
The default is always the value that the graph holds there.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr.components.baseline.champion import POINTER
from cxr.core.figure_table import ACCURACY
from cxr.pipeline import roles
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.roles import node_id

STRING, INTEGER, DOUBLE = "STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE"

DATA = "data"
THRESHOLD = "metrics_specs/0/per_slice_thresholds/{metric}/thresholds/0/threshold"
CHANGE = f"{THRESHOLD}/change_threshold/absolute"


@dataclass(frozen=True)
class Parameter:
    """One parameter of the run, and the place in the graph that it replaces."""

    name: str
    type: str
    description: str
    task: str
    property: str
    pointer: str = ""  # into the property's JSON, parts joined by "/"


def run_parameters(config: Config) -> list[Parameter]:
    """Returns the parameters of a configuration's pipeline."""
    # also what the rule for the baseline looks at
    readers = [(roles.EXAMPLE_GEN, "input_base"), *((node_id(roles.BASELINE, name), "data") for name in config.candidates)]
    found = [Parameter(DATA, STRING, "folder that `cxr ingest` wrote", task, key) for task, key in readers]
    for name, model in config.models.items():
        for stage, prefix in (("head_training", ""), ("fine_tuning", "fine_tuning_")):
            if getattr(model, stage):
                text = f"epochs of {name} ({stage.replace('_', '-')} stage)"
                found.append(
                    Parameter(
                        f"{prefix}epochs_{name}", INTEGER, text, node_id(roles.TRAINER, name), "custom_config", f"model/{stage}/epochs"
                    )
                )
    for name in config.candidates:
        evaluator = node_id(roles.EVALUATOR, name)
        bound = f"{THRESHOLD}/value_threshold/lower_bound".format(metric=ACCURACY)
        drop = CHANGE.format(metric=ACCURACY)
        found += [
            Parameter(f"min_accuracy_{name}", DOUBLE, f"lowest accuracy of {name} that passes", evaluator, "eval_config", bound),
            Parameter(
                f"min_change_{name}", DOUBLE, f"lowest change of {name}'s accuracy against the baseline", evaluator, "eval_config", drop
            ),
            Parameter(
                f"shortcut_margin_{name}",
                STRING,
                f"balanced accuracy of {name} must be more than this above every shortcut's; null: shown, not demanded",
                node_id(roles.SHORTCUT_CHECK, name),
                "margin",
            ),
            Parameter(f"baseline_{name}", STRING, f"{POINTER}, a pushed version, or none", node_id(roles.BASELINE, name), "baseline"),
        ]
        if rule := config.gate.non_inferiority:
            least, end = ("lowest", "lower") if rule.higher_is_better else ("highest", "upper")
            text = f"{least} value that passes of the {end} end of the interval of {name}'s change in {rule.metric} against the baseline"
            found.append(
                Parameter(f"non_inferiority_{name}", DOUBLE, text, evaluator, "eval_config", CHANGE.format(metric=rule.threshold_on))
            )
    return found

"""What a run's outcome suggests to do next."""

from __future__ import annotations

from collections.abc import Iterator

from cxr.components.report.page.content import Content
from cxr.core.refusal import Check

MANY_UNKNOWN = 0.5  # share of images without a patient id from which on intervals are too narrow
BEHIND = "A model is worse than the pushed version: see Comparison. Check first what changed in the data and the configuration."
REFUSED = {
    Check.GATE: "The gate refused a model: see its errors and slices. Train it better; "
    "lower a bound only if the lower figure is good enough.",
    Check.SHORTCUTS: "A model is no better than a shortcut: see Shortcuts. "
    "Balance the classes over the collections, or take all classes from one place.",
    Check.INFRASTRUCTURE: "A server did not give the predictions of the trained model: the reasons are above. Do not serve such a model.",
}


def next_steps(content: Content) -> tuple[str, ...]:
    """Returns sentences, the most urgent first."""
    return tuple(dict.fromkeys(_steps(content)))


def _steps(content: Content) -> Iterator[str]:
    refusals = [refusal for model in content.models for refusal in model.verdict.refusals]
    behind = any(refusal.behind_baseline for refusal in refusals)
    refusing = {refusal.check for refusal in refusals} - ({Check.GATE} if behind else set())  # the gate's advice is BEHIND then
    for step in content.failed:
        yield f"{step.node} failed: the message is above, and in full in the run's log. The same command goes on where this one stopped."
    if content.data and content.data.anomalies:
        yield "The data do not fit the schema: see the anomalies under Data. Ingest the images again, or change the schema (schema_file)."
    if behind:
        yield BEHIND
    yield from (advice for check, advice in REFUSED.items() if check in refusing)
    if content.synthetic:
        yield "These images are synthetic. Run on radiographs of your own: make run DATA=FOLDER CONFIG=cpu."
    random = [model.name for model in content.models if model.training and model.training.random_weights]
    if random:
        yield f"The backbones of {', '.join(random)} have random weights: only a baseline. Use ImageNet weights (configuration full)."
    data = content.data
    if data and data.ingested and data.images and data.ingested.own_patients > MANY_UNKNOWN * sum(data.images.values()):
        yield "Most images have no patient id: a patient may be in several splits, and intervals are too narrow. Give patient ids."
    if content.mistakes and content.mistakes.total:
        yield "Look at the errors with somebody who reads radiographs: some labels may be wrong."
    pushed = [model.name for model in content.models if model.verdict.outcome == "pushed"]
    if pushed:
        yield f"Pushed, ready to be served: {', '.join(pushed)} (cxr serve WORKSPACE/{content.pipeline}/serving_models; cxr predict IMAGE)."

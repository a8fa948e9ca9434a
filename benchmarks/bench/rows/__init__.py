"""The rows of the table, in its order."""

from __future__ import annotations

from bench.row import Row


def all_rows() -> dict[str, Row]:
    """Returns them by name."""
    from bench.rows import evaluation, ingest, input_pipeline, serving, training, whole

    rows = (
        ingest.ROW,
        input_pipeline.ROW,
        input_pipeline.AUGMENTED_ROW,
        input_pipeline.DECODING_ROW,
        training.HEAD_ROW,
        training.STEP_ROW,
        evaluation.SCORING_ROW,
        evaluation.EVALUATOR_ROW,
        serving.ROW,
        ingest.GROWTH_ROW,
        input_pipeline.GROWTH_ROW,
        whole.ROW,
    )
    return {row.name: row for row in rows}

"""What a Pusher knows of its run beside the artifacts: the JSON text of its property `custom_config`."""

from __future__ import annotations

from pydantic import Field

from cxr.core.figure_table import ACCURACY
from cxr.core.strict_model import StrictModel

NO_CHAMPION = "none"  # where the champion's version stands else


class Known(StrictModel):
    """A run's choice and names. On Kubeflow the entry point fills in what is decided after the compilation (kubeflow/pushing.py)."""

    pipeline: str
    split: str = Field(description="that the model is judged on")
    compared: tuple[str, ...] = Field(
        (ACCURACY,), description="metrics that the gate compares with the baseline: who is worse in one of them is no new floor"
    )
    champion: str | None = Field(
        None, description=f"version when the baseline was chosen, {NO_CHAMPION!r}: there was none; null: nobody chose, the last push counts"
    )
    baseline: str | None = Field(None, description="version that the model is compared with; null: none")
    run: str = Field("", description="the run's id; empty: TFX's context has it")
    source: str = Field("", description="URI of the Model artifact; empty: the input's own")

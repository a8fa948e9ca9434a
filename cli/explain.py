"""`cxr explain`: which regions of an image decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli import options
from cxr.core import features
from cxr.core.counts import how_many

EXAMPLES = """
[bold]Examples[/bold]

  cxr explain xray.png --out maps                             the ensemble of the demo's latest run, a map per member

  cxr explain images/ --pipeline cpu -m mobilenet --out maps  a folder, another pipeline, one model

  cxr explain study.dcm --class pneumonia --out maps          what supports a class, predicted or not

  cxr explain xray.png -m path/of/artifact --out maps         a model by its artifact's folder, or model.keras in it

Exit codes: 0 done, 1 failed (even one image), 2 wrong arguments.
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr explain`."""
    app.command("explain", help=options.help_of(explain, EXAMPLES))(explain)


def explain(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG, BMP, TIFF or DICOM files, or folders of them")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the overlays and explanations.csv")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="a model of the latest run, a Model artifact's folder, or model.keras in it")
    ] = features.ENSEMBLE,
    class_name: Annotated[str | None, typer.Option("--class", help="explain this class, not the predicted one")] = None,
    workspace: options.Workspace = Path("workspace"),
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", help="pipeline whose latest run is used")] = "demo",
) -> None:
    """Write Grad-CAM overlays."""
    from rich.progress import track
    from rich.table import Table

    from cxr.core import exit_codes
    from cxr.core.class_names import index_of
    from cxr.core.console import Console
    from cxr.core.errors import CxrError
    from cxr.core.silence import tensorflow_starting
    from cxr.core.visible import one_line
    from cxr.data.images.overlays import Explanation, UnwrittenError, list_overlays
    from cxr.pipeline.kept_runs import find_artifact
    from cxr.pipeline.workspace import Workspace

    messages = Console(stderr=True)
    source = find_artifact(model, Workspace(workspace, pipeline))
    files = options.find_images(images, messages)
    options.make_folder("--out", out)
    with tensorflow_starting():  # TensorFlow: not before the arguments are known to be right
        from cxr.trainer.explain.explanations import Explainer, info_beside

    if class_name is not None:
        index_of(class_name, info_beside(source).class_names)
    with messages.status("loading the model"), tensorflow_starting():
        explainer = Explainer(source)
    made: list[Explanation] = []
    failed = 0
    for file in track(files, "explaining", console=messages, transient=True):
        try:
            made += explainer.explain(file, out, class_name)
        except UnwrittenError:
            raise
        except (CxrError, OSError) as error:
            failed += 1
            said = (error.strerror if isinstance(error, OSError) else None) or str(error)
            text = said if str(file) in said else f"{file}: {said}"
            messages.print(text, style="red", highlight=False, soft_wrap=True)
    table = Table()
    for column in ("image", "model", "explained", "probability", "predicted", "overlay"):
        table.add_column(column, overflow="fold")
    for row in made:
        name = f"{row.overlay} (empty)" if row.empty else row.overlay
        table.add_row(one_line(Path(row.image).name), row.model, row.explained, f"{row.probability:.2f}", row.predicted, name)
    options.stdout_console().print(table)
    for image, (outside, remarks) in {row.image: (row.outside, row.remarks) for row in made}.items():
        if notes := "; ".join(filter(None, [features.OUTSIDE_SAID if outside else "", remarks])):
            messages.print(f"{Path(image).name}: {notes}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    for line in list_overlays(out, made):
        messages.print(line, highlight=False, soft_wrap=True)
    if failed:
        messages.print(f"{failed} of {how_many(len(files), 'image')} failed", style="red")
        raise typer.Exit(exit_codes.FAILED)

import pytest
from shown import ROOT


def outputs(notebook) -> str:
    """What the cells printed and returned."""
    parts = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(part.get("text") or part.get("data", {}).get("text/plain", "")) for part in parts)


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.long
def test_tour(tmp_path):
    import jupytext  # with nbclient a second of every start of pytest
    import nbclient

    notebook = jupytext.read(ROOT / "docs" / "tour.md")
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = outputs(notebook)
    assert "pushed: accuracy 0." in printed or "pushed: accuracy 1." in printed
    assert "like the training images" in printed
    pictures = [out for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) == 2  # a picture of each class, and the overlay

"""A main module like a user's script, without `if __name__ == "__main__":`, that leaves a trace wherever it runs."""

import sys
from pathlib import Path

import pytest


def as_main(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has this process pass for that of a script; returns the file that each run of the script writes a line to."""
    script, trace = folder / "script.py", folder / "trace"
    script.write_text(f"with open({str(trace)!r}, 'a') as stream:\n    stream.write('ran\\n')\n")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    return trace

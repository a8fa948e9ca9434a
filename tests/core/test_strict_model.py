import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from pydantic import ValidationError

from cxr.core.errors import CxrError, MissingFileError
from cxr.core.strict_model import StrictModel


class Found(StrictModel):
    images: int
    share: float | None = None


class Numbers(StrictModel):
    count: int = 0
    share: float | None = None
    by_name: dict[str, float] = {}
    both: tuple[float, float] = (0, 1)
    flag: bool = False
    either: bool | float = 0.5


@pytest.mark.parametrize("given", [{"count": True}, {"share": False}, {"by_name": {"a": True}}, {"both": (0, True)}])
def test_true_is_no_number(given):
    with pytest.raises(ValidationError, match=f"{next(iter(given))} must be a number, not true or false"):
        Numbers.model_validate(given)


def test_true_is_taken_where_it_is_meant():
    found = Numbers.model_validate({"flag": True, "either": True, "count": 1, "share": None})
    assert (found.flag, found.either, found.count) == (True, True, 1)


def test_what_is_written_is_read_again(tmp_path):
    file = tmp_path / "artifact" / "found.json"
    Found(images=1).write(file)
    Found(images=2, share=0.5).write(file)
    assert Found.read(file, "") == Found(images=2, share=0.5)
    assert [found.name for found in file.parent.iterdir()] == ["found.json"]  # no draft is left


def test_many_write_at_once(tmp_path):
    """Threads have one process number, as the processes of two containers may."""
    file, start = tmp_path / "found.json", Barrier(8)

    def call(number):
        start.wait()
        for _ in range(100):
            Found(images=number).write(file)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))  # raises what one of them raised
    assert Found.read(file, "").images in range(8)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"{", b'{"images": "many"}', b'{"images": 1, "other": 2}', b'{"images": 1, "share": "\xff"}'])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content):
    file = tmp_path / "found.json"
    file.write_bytes(content)
    with pytest.raises(CxrError, match=r"found\.json: cannot be read \(.+\); run again") as raised:
        Found.read(file, "run again")
    assert not isinstance(raised.value, MissingFileError)


def test_the_field_is_named(tmp_path):
    file = tmp_path / "found.json"
    file.write_text('{"images": "many", "other": 2}')
    with pytest.raises(CxrError, match=r"cannot be read \(images: Input should be .*, and 1 more\)"):
        Found.read(file, "run again")


def test_a_missing_file_can_be_told_from_a_damaged_one(tmp_path):
    with pytest.raises(MissingFileError, match=r"found\.json: cannot be read \(No such file or directory\); run again"):
        Found.read(tmp_path / "found.json", "run again")
    with pytest.raises(CxrError, match="Is a directory"):
        Found.read(tmp_path, "run again")


def test_any_text_is_read_again_whatever_the_locale(tmp_path):
    """A source's folder may be called Köln where the system's language is written in ASCII or Latin letters only."""
    code = (
        "from pathlib import Path\n"
        "from cxr.core.strict_model import StrictModel\n"
        "class Found(StrictModel):\n"
        "    source: str\n"
        f"file = Path({str(tmp_path / 'found.json')!r})\n"
        "Found(source='K\\u00f6ln \\u80ba').write(file)\n"
        "assert Found.read(file, '').source == 'K\\u00f6ln \\u80ba'\n"
    )
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=ascii_only, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.seconds
def test_no_text_is_written_in_the_encoding_of_the_moment():
    """What ruff's PLW1514 asks for, and of paths whose type it does not see."""
    root = Path(__file__).parents[2]
    packages = ("cli", "components", "core", "data", "kubeflow", "pipeline", "serving", "trainer", "tools", "benchmarks")
    found = [
        f"{file.relative_to(root)}:{call.lineno}"
        for package in packages
        for file in (root / package).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("read_text", "write_text")
        if "encoding" not in {keyword.arg for keyword in call.keywords}
    ]
    assert found == []

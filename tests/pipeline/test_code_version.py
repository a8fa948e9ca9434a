import sys

from cxr.pipeline import code_version
from cxr.pipeline.code_version import code_version as version


def test_it_changes_with_any_file_of_the_package_and_with_a_library(tmp_path, monkeypatch):
    package = tmp_path / "some_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "part.py").write_text("a = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = {version("some_package")}
    assert {version("some_package")} == seen
    (package / "inner" / "part.py").write_text("a = 2")
    seen.add(version("some_package"))
    (package / "notes.txt").write_text("nothing to do with it")
    assert version("some_package") in seen
    monkeypatch.setattr(code_version, "LIBRARIES", ("keras",))
    seen.add(version("some_package"))
    assert len(seen) == 3
    sys.modules.pop("some_package", None)

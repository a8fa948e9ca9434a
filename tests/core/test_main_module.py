import multiprocessing
import os
import sys

import pytest
from main_script import as_main

from cxr.core import main_module


def test_a_script_runs_in_no_process_that_starts_within(tmp_path, monkeypatch):
    trace = as_main(tmp_path, monkeypatch)
    context = multiprocessing.get_context("spawn")  # a server to fork from would be that of later tests, too

    def start():
        process = context.Process(target=os.getpid)
        process.start()
        process.join(60)
        assert process.exitcode == 0

    start()
    assert trace.read_text() == "ran\n"
    with main_module.left_out():
        start()
    assert trace.read_text() == "ran\n"
    assert sys.modules["__main__"].__file__ == str(tmp_path / "script.py")
    start()
    assert trace.read_text() == "ran\n" * 2


def test_a_main_module_without_file_keeps_none():
    main = sys.modules["__main__"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(main, "__file__", raising=False)
        with main_module.left_out():
            pass
        assert not hasattr(main, "__file__")

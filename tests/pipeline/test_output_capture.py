import logging
import os
import warnings

from cxr.pipeline.output_capture import captured_output


def test_all_that_is_written_meanwhile_is_in_the_log_and_nothing_afterwards(tmp_path, capfd):
    log = tmp_path / "run.log"
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with captured_output(log) as (out, err):
        os.write(1, b"of a library\n")
        os.system("echo of a child >&2")
        logging.getLogger("tfx").info("of a logger")
        warnings.warn("of the warnings", stacklevel=1)
        out.write("for the terminal\n")
        err.write("for its errors\n")
    assert (root.handlers, root.level) == (handlers, level)
    logging.getLogger("tfx").error("later")
    os.write(1, b"later\n")

    text = log.read_text()
    assert all(words in text for words in ("of a library", "of a child", "of a logger", "of the warnings"))
    assert "later" not in text
    assert "terminal" not in text
    seen = capfd.readouterr()
    assert seen.out == "for the terminal\nlater\n"
    assert seen.err.startswith("for its errors\n")


def test_a_terminal_that_lacks_a_character_ends_no_run(tmp_path, capfdbinary, monkeypatch):
    latin = open(os.dup(1), "w", encoding="latin-1")  # noqa: SIM115
    monkeypatch.setattr("sys.stdout", latin)
    with captured_output(tmp_path / "run.log") as streams:
        for stream in streams:
            stream.write("Łódź ✓\n")
    latin.close()
    assert list(capfdbinary.readouterr()) == ["?ód? ?\n".encode("latin-1")] * 2

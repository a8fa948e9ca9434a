import os
import sys

import pytest
from killed import killed_at
from power_loss import losing_power

from cxr.core import replaced_folder
from cxr.core.errors import CxrError
from cxr.core.replaced_folder import left_alone, replaced


def test_a_machine_that_loses_power_has_the_old_records_or_the_new_ones(tmp_path, monkeypatch):
    out, seen = tmp_path / "disk" / "records", []
    texts = {name: {"dataset.json": name, "train/0.tfrecord.gz": 3 * name} for name in ("old", "new")}

    def write(folder, name):
        (folder / "train").mkdir(parents=True)
        for file, text in texts[name].items():
            (folder / file).write_text(text)

    def check(copy):
        with left_alone(copy / "records") as free:  # ends an exchange that stopped halfway
            assert free
        seen.append({file: (copy / "records" / file).read_text() for file in texts["old"]})

    write(out, "old")
    with losing_power(out.parent, tmp_path / "crashes", check, monkeypatch), replaced(out) as partial:
        write(partial, "new")
    assert [texts["old"], texts["new"]] == [seen[0], seen[-1]]
    assert all(found in texts.values() for found in seen)


def test_of_two_at_a_time_the_second_is_refused_and_takes_nothing_from_the_first(tmp_path):
    out = tmp_path / "records"
    with replaced(out) as partial:
        (partial / "first").touch()
        with pytest.raises(CxrError, match=f"{out}: another process is writing it; wait for its end"), replaced(out):
            pass
        with left_alone(out) as free:
            assert not free
    assert os.listdir(out) == ["first"]
    assert os.listdir(tmp_path) == ["records"]


@pytest.mark.seconds
def test_a_kill_at_any_moment_leaves_the_old_folder_or_the_new_one_and_nothing_beside_it(tmp_path):
    out, found, step = tmp_path / "results", [], 0

    def write(name):
        with replaced(out) as partial:
            (partial / "parts").mkdir()
            for number in range(2):
                (partial / "parts" / f"{number}").write_text(name)

    write("old")
    while killed_at(step, lambda: write("new")):
        with left_alone(out) as free:  # as the next process does, which reads
            assert free
        found.append([path.read_text() for path in sorted(out.glob("parts/*"))])
        write("old")
        assert os.listdir(tmp_path) == ["results"]
        step += 1
    assert {*map(tuple, found)} == {("old", "old"), ("new", "new")}


def interrupted_at(step, work):
    """Does `work`; Ctrl-C comes as a function of replaced_folder.py begins, calls or has called, counted from 0. Tells whether it came."""
    left = [step]

    def count(frame, event, argument):
        if event != "return" and frame.f_code.co_filename == replaced_folder.__file__:  # Python looks for signals nowhere else
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt

    sys.setprofile(count)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def test_ctrl_c_at_any_moment_leaves_nothing_beside_the_folder(tmp_path):
    out, step = tmp_path / "results", 0

    def write(name):
        with replaced(out) as partial:
            (partial / "part").write_text(name)

    write("old")
    while interrupted_at(step, lambda: write("new")):
        assert ".results.partial" not in os.listdir(tmp_path)
        with left_alone(out) as free:  # as the next process does, which reads
            assert free
        assert os.listdir(tmp_path) == ["results"]
        assert (out / "part").read_text() in ("old", "new")
        write("old")
        step += 1
    assert step > 15

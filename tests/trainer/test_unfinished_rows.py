"""What a killed run leaves is whole rows, and the next run ends with all of them."""

import numpy as np
import pytest
from killed import killed_at

from cxr.core import progress
from cxr.trainer.unfinished_rows import UnfinishedRows

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.mark.seconds
def test_killed_at_any_moment_whole_rows_are_left_and_the_next_run_goes_on(tmp_path, caplog):
    file, step = tmp_path / "state" / "rows.float32", 0

    def keep():
        kept = UnfinishedRows(file, 5, 3)
        while kept.done < 5:
            kept.append(ROWS[kept.done : kept.done + 2])
        return np.asarray(kept.stored())

    seen = set()
    with caplog.at_level("INFO", logger=progress.LOGGER):
        while killed_at(step, keep):
            left = UnfinishedRows(file, 5, 3).done
            np.testing.assert_array_equal(np.fromfile(file, np.float32).reshape(-1, 3), ROWS[:left])
            np.testing.assert_array_equal(keep(), ROWS)
            seen.add(left)
            for part in file.parent.iterdir():
                part.unlink()
            step += 1
    assert seen == {0, 2, 4}  # the last step is that of the last check
    assert caplog.text == ""  # nothing was damaged


def test_two_processes_at_one_file_get_their_own_rows_each(tmp_path):
    """Where locks hold one of them has no file. A row at another's place would go into the feature cache as that one's."""
    file = tmp_path / "rows.float32"
    one, other = UnfinishedRows(file, 5, 3), UnfinishedRows(file, 5, 3)
    one.append(ROWS[:2])
    other.append(ROWS[:3] + 1)
    late = UnfinishedRows(file, 5, 3)  # tried again while both are at work
    assert late.done == 3
    one.append(ROWS[2:])
    other.append(ROWS[3:] + 1)
    late.append(ROWS[3:] + 1)
    for rows, expected in ((one, ROWS), (other, ROWS + 1), (late, ROWS + 1)):
        assert rows.done == 5
        np.testing.assert_array_equal(rows.stored(), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.float32", "rows.float32.checks"]

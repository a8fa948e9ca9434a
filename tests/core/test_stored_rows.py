"""Rows on disk."""

import os
import resource

import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.core.stored_rows import RowWriter, StoredRows

ROWS = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)


@pytest.fixture
def stored():
    rows = StoredRows.empty(7, (2, 3), np.float32)
    rows[:] = ROWS
    return rows


@pytest.mark.parametrize("which", [slice(1, 4), slice(None, None, 3), [6, 0, 0, 1, 2], [[1, 2], [3, 3]], np.arange(7) > 2, 4, slice(3, 3)])
def test_chosen_rows_are_those_of_an_array(stored, which):
    chosen = stored[which]
    assert chosen.shape == ROWS[which].shape
    np.testing.assert_array_equal(chosen, ROWS[which])


def test_passes_and_positions(stored):
    passes = stored[:6].reshape(2, 3)
    array = ROWS[:6].reshape(2, 3, 2, 3)
    assert len(passes) == 2
    np.testing.assert_array_equal(passes[:, [2, 0]][1], array[1, [2, 0]])
    np.testing.assert_array_equal(passes[[1, 0, 1], [0, 0, 2]], array[[1, 0, 1], [0, 0, 2]])


def test_rows_are_set_one_by_one_and_together(stored):
    stored[[5, 1]] = ROWS[0]
    stored[3] = 1
    np.testing.assert_array_equal(np.asarray(stored[[1, 3, 5]]), np.stack([ROWS[0], np.ones((2, 3)), ROWS[0]]))


def test_a_file_that_was_cut_is_an_error(stored):
    os.truncate(stored._file.fileno(), 100)
    with pytest.raises(OSError, match="ends at byte 100"):
        np.asarray(stored)


def test_rows_that_come_one_by_one():
    writer = RowWriter(np.float32)
    for row in ROWS.astype(np.float64):
        writer.append(row)
    np.testing.assert_array_equal(writer.rows()[[6, 2]], ROWS[[6, 2]])
    assert len(RowWriter(np.float32).rows()) == 0


def test_a_full_disk_is_that_of_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = f"{tmp_path}: File too large; .*TMPDIR=FOLDER"
    rows, writer, before = StoredRows.empty(7, (1000,), np.float32), RowWriter(np.float32), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the next byte is EFBIG, as that of a full disk is ENOSPC
    try:
        with pytest.raises(CxrError, match=words):
            rows[:] = 1
        writer.append(np.ones(1000))
        with pytest.raises(CxrError, match=words):
            writer.rows()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

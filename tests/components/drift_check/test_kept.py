import time

from cxr.components.drift_check.kept import KEPT, before, keep


def statistics(folder, content):
    (folder / content / "Split-train").mkdir(parents=True, exist_ok=True)
    (folder / content / "Split-train" / "FeatureStats.pb").write_text(content)
    return folder / content


def test_the_last_other_data_are_found(tmp_path):
    kept = tmp_path / "models" / ".statistics"
    a, b, c = (statistics(tmp_path, name) for name in "abc")
    assert before(a, kept) is None
    keep(a, kept)
    assert before(a, kept) is None  # its own
    for _ in range(2):  # a second, identical run is compared with the same
        found = before(b, kept)
        assert found is not None
        assert (found / "Split-train" / "FeatureStats.pb").read_text() == "a"
        keep(b, kept)
    keep(a, kept)
    found = before(c, kept)
    assert found is not None
    assert (found / "Split-train" / "FeatureStats.pb").read_text() == "a"


def test_old_ones_go(tmp_path):
    kept = tmp_path / "kept"
    for number in range(KEPT + 2):
        keep(statistics(tmp_path, str(number)), kept)
    assert [(f / "Split-train" / "FeatureStats.pb").read_text() for f in sorted(kept.iterdir())] == ["2", "3", "4"]


def test_what_killed_processes_left_goes_after_a_day(tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    keep(statistics(tmp_path, "a"), kept)
    left = kept / ".draft-left"
    left.mkdir()
    keep(statistics(tmp_path, "b"), kept)
    assert left.exists()  # somebody may be writing it
    later = time.time() + 90_000
    monkeypatch.setattr("cxr.components.drift_check.kept.time.time", lambda: later)
    keep(statistics(tmp_path, "c"), kept)
    assert not left.exists()
    assert len(list(kept.iterdir())) == 3


def test_a_clock_that_ran_ahead_changes_no_order(tmp_path):
    kept = tmp_path / "kept"
    for name in "abc":
        keep(statistics(tmp_path, name), kept)
    for found in list(kept.iterdir()):  # as a machine wrote them whose clock is an hour ahead
        stamp, _, key = found.name.partition("-")
        found.rename(kept / f"{int(stamp) + 3_600 * 10**9:020d}-{key}")
    keep(statistics(tmp_path, "d"), kept)
    found = before(statistics(tmp_path, "e"), kept)
    assert found is not None
    assert (found / "Split-train" / "FeatureStats.pb").read_text() == "d"
    assert len(list(kept.iterdir())) == KEPT

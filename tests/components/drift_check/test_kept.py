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

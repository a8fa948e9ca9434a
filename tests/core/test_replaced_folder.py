from power_loss import losing_power

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

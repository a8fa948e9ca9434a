"""What stays of runs and versions."""

from __future__ import annotations

import shutil

import pytest
from killed import killed_at

from cxr.components.baseline import champion
from cxr.core.errors import CxrError
from cxr.pipeline.kept_runs import kept_runs
from cxr.pipeline.pruning.keep import needed_versions, versions_of, what_stays
from cxr.pipeline.pruning.prune import Pruner
from cxr.pipeline.workspace import LATEST, REPORT


def versions(kept, model):
    return sorted(int(version) for name, version in kept.versions if name == model)


def test_a_champion_keeps_what_it_was_compared_with_and_the_runs_of_these(pushed):
    kept = what_stays(pushed, 1, {})
    assert set(kept.runs) == {"20261108-1", "20261102-1"}
    assert kept.runs["20261102-1"] == "pushed mobilenet/2"
    assert (versions(kept, "mobilenet"), versions(kept, "ensemble")) == ([2, 8], [88])
    assert kept.versions["mobilenet", "8"] == "the champion"
    assert kept.pushed_by == {"tfx-2", "tfx-8", "tfx-88"}
    assert "/gone/tfx/Trainer-mobilenet/model/2" in kept.uris
    assert kept.newest == 1


def test_what_servers_need_stays_with_its_run_and_all_that_the_run_pushed(pushed):
    kept = what_stays(pushed, 1, {"mobilenet": {3, 99}})
    assert (versions(kept, "mobilenet"), versions(kept, "ensemble")) == ([2, 3, 8], [33, 88])
    assert kept.versions["mobilenet", "3"] == "a server needs it"
    assert kept.versions["ensemble", "33"] == "of run 20261103-1"


def test_a_version_that_a_server_numbers_otherwise_than_its_folder_is_named_stays(pushed):
    mobilenet = pushed.serving_models / "mobilenet"
    (mobilenet / "3").rename(mobilenet / "03")
    assert needed_versions(mobilenet, {3})["03"] == "a server needs it"
    pruner = Pruner(pushed, 1, {"mobilenet": {3}})
    pruner.carry_out(pruner.plan())
    assert [folder.name for folder in versions_of(pushed) if folder.parent == mobilenet] == ["2", "03", "8"]


def test_a_number_that_no_server_can_load_is_no_version(pushed):
    (pushed.serving_models / "mobilenet" / "99999999999999999999").mkdir()
    assert needed_versions(pushed.serving_models / "mobilenet", ())["8"] == "the champion"
    (pushed.serving_models / "mobilenet" / champion.POINTER).unlink()
    assert needed_versions(pushed.serving_models / "mobilenet", ()) == {"8": "the newest"}
    assert "99999999999999999999" not in {folder.name for folder in versions_of(pushed)}


def test_runs_that_failed_do_not_count_and_stay_where_they_are_newer(pushed, make_run):
    make_run("20261109-1", record={"exit_code": 1, "ended": "2026-11-26T01:02:03+00:00"})
    make_run("20261101-9", record={"exit_code": 1, "ended": "2026-11-26T01:02:03+00:00"})
    kept = what_stays(pushed, 2, {})
    assert {"20261109-1", "20261108-1", "20261107-1"} <= set(kept.runs)
    assert "20261101-9" not in kept.runs
    assert kept.newest == 3
    pushed.point_latest_at(pushed.runs / "20261105-1")  # the newest ones stopped at their data
    assert what_stays(pushed, 1, {}).runs["20261105-1"] == "the one that `latest` names"
    (pushed.runs / LATEST).unlink()
    assert set(what_stays(pushed, 99, {}).runs) == {folder.name for folder in pushed.runs.iterdir()}


def test_the_newest_version_stays_also_beside_another_champion(pushed):
    (pushed.serving_models / "mobilenet" / champion.POINTER).unlink()
    with champion.locked(pushed.serving_models / "mobilenet") as pointer:
        pointer.write("4", "e" * 32, "x", expected=None)
    assert needed_versions(pushed.serving_models / "mobilenet", ()) == {
        "8": "the newest", "2": "later candidates are compared with it", "4": "the champion",
    }  # fmt: skip


def test_damage_stops_before_anything_is_decided(pushed):
    (pushed.serving_models / "mobilenet" / "8" / "assets.extra" / "push.json").write_text("{")
    with pytest.raises(CxrError, match=r"push\.json: cannot be read"):
        what_stays(pushed, 1, {})
    (pushed.serving_models / "mobilenet" / champion.POINTER).write_text("{")
    with pytest.raises(CxrError, match="not a champion pointer"):
        what_stays(pushed, 1, {})


def test_what_goes_is_gone_and_nothing_else(pushed):
    pruner = Pruner(pushed, 1, {})
    plan = pruner.plan()
    assert not plan.metadata
    assert {folder.name for folder in plan.runs} == {f"2026110{number}-1" for number in (1, 3, 4, 5, 6, 7)}
    assert [folder.name for folder in plan.versions] == ["33", "1", "3", "4", "5", "6", "7"]
    assert plan.size == sum(plan.runs.values()) + sum(plan.versions.values())
    assert plan.versions[pushed.serving_models / "mobilenet" / "1"] > 100
    assert len(list(versions_of(pushed))) == 10  # a plan removes nothing
    pruner.carry_out(plan)
    assert [folder.name for folder in versions_of(pushed)] == ["88", "2", "8"]
    assert sorted(folder.name for folder in pushed.runs.iterdir()) == ["20261102-1", "20261108-1"]
    assert Pruner(pushed, 1, {}).plan().empty


def test_a_version_that_became_the_champion_meanwhile_is_not_touched(pushed):
    pruner = Pruner(pushed, 1, {})
    plan = pruner.plan()
    with champion.locked(pushed.serving_models / "mobilenet") as pointer:
        pointer.write("1", "e" * 32, "x", expected="8")
    with pytest.raises(CxrError, match="is needed by now"):
        pruner.carry_out(plan)
    assert (pushed.serving_models / "mobilenet" / "1" / "saved_model.pb").is_file()


def test_a_version_that_a_server_came_to_need_meanwhile_is_not_touched(pushed):
    """Somebody promotes it, while somebody else thinks about the plan."""
    pruner = Pruner(pushed, 1, {})
    plan = pruner.plan()
    with pytest.raises(CxrError, match="is needed by now"):
        pruner.carry_out(plan, {"mobilenet": {1}})
    assert (pushed.serving_models / "mobilenet" / "1" / "saved_model.pb").is_file()


def test_what_a_killed_prune_left_goes_with_the_next(pushed):
    left = pushed.serving_models / "mobilenet" / ".pruned-abc"
    left.mkdir()
    (left / "saved_model.pb").touch()
    pruner = Pruner(pushed, 99, {})
    assert list(pruner.plan().versions) == [left]
    pruner.carry_out(pruner.plan())
    assert not left.exists()


def test_a_run_whose_report_is_damaged_stays_since_nobody_knows_what_it_pushed(pushed):
    assert "20261104-1" not in what_stays(pushed, 1, {}).runs
    (pushed.runs / "20261104-1" / REPORT).write_text("{")
    assert what_stays(pushed, 1, {}).runs["20261104-1"] == "its report.json cannot be read"


@pytest.mark.slow
def test_a_prune_that_is_killed_at_any_moment_leaves_whole_versions_and_the_next_ends_it(pushed, tmp_path):
    """Every fifth of its 80 steps; with ML Metadata: test_artifacts.py."""

    def prune():
        pruner = Pruner(pushed, 1, {})
        pruner.carry_out(pruner.plan())

    def left():
        return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))

    before = tmp_path.with_name(f"{tmp_path.name}-before")
    shutil.copytree(tmp_path, before)
    prune()
    pruned, step = left(), 0
    while True:
        shutil.rmtree(tmp_path)
        shutil.copytree(before, tmp_path)
        if not killed_at(step, prune):
            break
        for version in versions_of(pushed):  # what a server would find
            assert (version / "saved_model.pb").is_file()
            assert (version / "assets.extra" / "push.json").is_file()
        assert [run.state for run in kept_runs(tmp_path, "cpu")][0] == "done"
        prune()
        assert left() == pruned
        step += 5
    assert step > 50

import datetime
import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from cxr.core.errors import CxrError, UsageError
from cxr.pipeline import workspace as ws


@pytest.fixture
def clock(monkeypatch):
    """Sets the time of day that runs are named by."""

    def set_to(*time):
        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls(*time)

        monkeypatch.setattr(ws, "datetime", Clock)

    return set_to


def test_a_run_is_named_after_all_others_whatever_the_clock_says(tmp_path, clock):
    workspace = ws.Workspace(tmp_path, "demo")
    made = []
    for time in (
        (2026, 10, 25, 2, 59, 59, 999_400),
        (2026, 10, 25, 2, 59, 59, 999_700),  # the same millisecond
        (2026, 10, 25, 2, 0, 0),  # summer time ends
        (2020, 1, 1),  # a battery was empty
        (2026, 10, 25, 4, 0, 0),
    ):
        clock(*time)
        made.append(workspace.new_run())
        made[-1].mkdir(parents=True)
    assert made == ws.all_runs(tmp_path, "demo")
    assert [folder.name for folder in made] == [
        "20261025-025959-999",
        "20261025-030000-000",
        "20261025-030000-001",
        "20261025-030000-002",
        "20261025-040000-000",
    ]


@pytest.mark.parametrize(("real", "known_as"), [("wörk sp=50%", "wörk sp=50%"), ("[1]", "link")])
def test_a_workspace_is_one_and_the_same_by_each_of_its_names(tmp_path, real, known_as):
    """To the cache, which takes paths as they are; TFX cannot read below one with brackets."""
    (tmp_path / real).mkdir()
    (tmp_path / "link").symlink_to(real)
    assert ws.Workspace(tmp_path / "link", "demo").home == tmp_path / known_as / "demo"


def test_folders_of_other_names_do_not_stand_in_the_way(tmp_path, clock):
    workspace = ws.Workspace(tmp_path, "demo")
    (workspace.runs / "my notes").mkdir(parents=True)
    clock(2026, 1, 2, 3, 4, 5)
    first = workspace.new_run()
    assert first.name == "20260102-030405-000"
    first.mkdir()
    workspace.point_latest_at(first)
    assert workspace.new_run().name == "20260102-030405-001"


def test_what_a_killed_process_left_does_not_stand_in_the_way(tmp_path):
    workspace = ws.Workspace(tmp_path, "demo")
    workspace.runs.mkdir(parents=True)
    first, second = (workspace.runs / name for name in "12")
    workspace.point_latest_at(first)
    (workspace.runs / f".{ws.LATEST}-{os.getpid()}").symlink_to("gone")  # of another container's process with the same number
    workspace.point_latest_at(second)
    assert os.readlink(workspace.runs / ws.LATEST) == second.name
    assert len(list(workspace.runs.glob(f".{ws.LATEST}-*"))) == 1  # nothing of ours stays


@pytest.mark.parametrize("fault", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_links_is_named_as_one(tmp_path, monkeypatch, fault):
    def refuse(*_, **__):
        raise OSError(fault, os.strerror(fault))

    workspace = ws.Workspace(tmp_path, "demo")
    run = workspace.new_run()
    run.mkdir(parents=True)
    monkeypatch.setattr(os, "symlink", refuse)
    with pytest.raises(CxrError, match=rf"^{workspace.runs}: this file system takes no symbolic links, .*; name a workspace on another"):
        workspace.point_latest_at(run)


def test_a_folder_in_a_link_s_place_is_named_and_left(tmp_path):
    """As `cp -rL` leaves a copied workspace."""
    workspace = ws.Workspace(tmp_path, "demo")
    run = workspace.new_run()
    (workspace.runs / ws.LATEST).mkdir(parents=True)
    with pytest.raises(CxrError, match=rf"^{workspace.runs / ws.LATEST}: is a folder where a link belongs.* move it away"):
        workspace.point_latest_at(run)
    assert [one.name for one in workspace.runs.iterdir() if one.name != run.name] == [ws.LATEST]


@pytest.mark.parametrize(("holder", "message"), [(ws.RUN, "another run of"), (ws.PRUNE, "a prune of")])
def test_who_holds_the_lock_is_known_and_stays_known_when_others_try(tmp_path, holder, message):
    workspace = ws.Workspace(tmp_path, "demo")
    assert workspace.lock_holder() is None
    with workspace.lock(holder):
        for _ in range(2):
            with pytest.raises(CxrError, match=f"{message} pipeline 'demo' is under way"), workspace.lock():
                pass
            assert workspace.lock_holder() == holder
    assert workspace.lock_holder() is None


def test_somebody_who_only_looks_refuses_nobody(tmp_path):
    workspace = ws.Workspace(tmp_path, "demo")
    with workspace.lock():
        pass
    with open(workspace.home / ws.LOCK) as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as lock_holder does, between two of its lines
        end = threading.Timer(0.2, fcntl.flock, (file, fcntl.LOCK_UN))
        end.start()
        with workspace.lock():
            assert workspace.lock_holder() == ws.RUN
        end.join()


def test_to_look_needs_no_right_to_write_and_waits_for_nobody(tmp_path):
    workspace = ws.Workspace(tmp_path, "demo")
    workspace.home.mkdir()
    with workspace.looked_at(), workspace.looked_at():
        assert list(workspace.home.iterdir()) == []
    for lock in (workspace.lock, workspace.lock_crossval):
        with lock(), pytest.raises(CxrError, match="demo: a run, a prune or a cross-validation of it is under way"), workspace.looked_at():
            pass
    with workspace.looked_at(), pytest.raises(CxrError, match="is under way"), workspace.lock_crossval():
        pass


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none"])
def test_a_place_where_no_workspace_can_be(tmp_path, place):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"demo: cannot be made \(.+\); name another folder with --workspace"),
        ws.Workspace(tmp_path / place, "demo").lock(),
    ):
        pass


def test_the_page_on_what_a_run_leaves_names_every_place(tmp_path):
    place = ws.Workspace(tmp_path, "cpu")
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    section = page.split("## What a run leaves")[1].split("\n## ")[0]
    places = {getattr(place, name) for name, value in vars(ws.Workspace).items() if isinstance(value, property)}
    names = {path.name for path in places if path.parent == place.home}
    assert {"schema", "baselines", "crossval", "runs"} < names
    assert [name for name in sorted(names) if f"`{name}`" not in section and f"`{name}/" not in section] == []


@pytest.mark.parametrize(
    ("uri", "made"),
    [
        ("/w/demo/tfx/Trainer-a/model/5", ("/w/demo", "tfx/Trainer-a/model/5")),
        ("/w/demo/tfx/Make/made/5/value", ("/w/demo", "tfx/Make/made/5")),  # a value is a file
        ("/w/demo/baselines/mobilenet/1795974161", ("/w/demo", "baselines/mobilenet/1795974161")),
        ("/w/demo/baselines/tfx/1795974161", ("/w/demo", "baselines/tfx/1795974161")),  # a model may have that name
        ("/mnt/tfx/baselines/demo/tfx/Trainer-a/model/5", ("/mnt/tfx/baselines/demo", "tfx/Trainer-a/model/5")),
        ("/w/demo/schema/0a1b", None),
        ("/w/demo/tfx/Trainer-a/model", None),
        ("/w/demo/tfx/Trainer-a/../5", None),
        ("", None),
    ],
)
def test_an_artifact_is_placed_by_its_uri(uri, made):
    assert ws.made_at(uri) == (made and (Path(made[0]), Path(made[1])))

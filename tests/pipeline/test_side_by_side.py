import json

from tfx.proto.orchestration import pipeline_pb2

from cxr.pipeline import side_by_side
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.side_by_side import Room, room

GB = 10**9


def test_cores_and_memory_bound_what_runs_at_once():
    place = Room(3, memory=10 * GB, peaks={"big": 8 * GB, "small": GB, "unknown": None, "huge": 99 * GB})
    assert place.has_place("huge", [])
    assert not place.has_place("huge", ["small"])
    assert place.has_place("small", ["big"])
    assert place.has_place("small", ["small", "big"])
    assert not place.has_place("small", ["small", "small", "small"])
    assert not place.has_place("big", ["big"])
    assert place.has_place("unknown", [])
    assert not place.has_place("unknown", ["small"])
    assert not place.has_place("small", ["unknown"])
    assert place.has_place("Trainer-new", ["Transform"])
    assert not Room(3, memory=7 * GB).has_place("Trainer-new", ["Trainer-newer"])
    assert Room(2).has_place("big", ["huge"])
    assert not Room().has_place("small", ["small"])


def test_what_a_node_took_most_counts(tmp_path):
    config = load("demo", ("models.mobilenet.fine_tuning={}", "models.densenet201.fine_tuning={}"))

    def run(name, peaks, config=config):
        (folder := tmp_path / "demo/runs" / name).mkdir(parents=True)
        (folder / "config.yaml").write_text(config.to_yaml())
        seconds = float(name)
        nodes = {node: {"state": "done" if peak else "cached", "seconds": seconds, "peak_memory": peak} for node, peak in peaks.items()}
        (folder / "report.json").write_text(json.dumps({"pipeline": "demo", "models": {}, "nodes": nodes}))

    fine_tuned = {"Trainer-mobilenet", "Trainer-densenet201"}
    assert room(config, tmp_path, 2).peaks == dict.fromkeys(fine_tuned)
    run("1", {"Trainer-mobilenet": 6 * GB, "Audit": 2 * GB})
    run("2", {"Trainer-mobilenet": 5 * GB, "Audit": None, "InfraCheck-mobilenet": 2 * GB, "Transform": GB})
    (tmp_path / "demo/runs/3").mkdir()
    place = room(config, tmp_path, 2)
    assert place.jobs == 2
    assert place.memory
    peaks = {"Trainer-mobilenet": 6 * GB, "Trainer-densenet201": None, "Audit": 2 * GB}
    assert place.peaks == peaks | {"InfraCheck-mobilenet": 4 * GB, "Transform": GB}  # a server beside the check
    assert place.seconds == {"Trainer-mobilenet": 2, "Audit": 1, "InfraCheck-mobilenet": 2, "Transform": 2}
    shared = config.model_copy(update={"beam": config.beam.model_copy(update={"workers": 3})})
    assert room(shared, tmp_path, 2).peaks["Transform"] == 4 * GB  # the node, and those that work for it
    # A head, or pictures of another size, say nothing of how much fine-tuning takes; another head layer does.
    run("4", {"Trainer-densenet201": 2 * GB}, load("demo"))
    run("5", {"Trainer-densenet201": 3 * GB}, load("demo", ("models.densenet201.fine_tuning={}", "image_size=64")))
    assert room(config, tmp_path, 2).peaks["Trainer-densenet201"] is None
    run("6", {"Trainer-densenet201": 4 * GB}, load("demo", ("models.densenet201.fine_tuning={}", "models.densenet201.head.l2=0.7")))
    assert room(config, tmp_path, 2).peaks["Trainer-densenet201"] == 4 * GB
    for number, damaged in ((7, "models: [densenet201]\n"), (8, "models:\n  densenet201: 3\n")):
        run(str(number), {"Trainer-densenet201": 9 * GB, "Audit": 3 * GB})
        (tmp_path / f"demo/runs/{number}/config.yaml").write_text(damaged)
        known = room(config, tmp_path, 2).peaks
        assert (known["Trainer-densenet201"], known["Audit"]) == (4 * GB, 3 * GB)


def test_nodes_that_use_a_gpu_wait_for_each_other_alone():
    place = Room(4, gpu=True)
    assert place.has_place("Trainer-a", ["Audit", "StatisticsGen"])
    assert place.has_place("Pusher-a", ["Trainer-a", "Audit"])
    assert not place.has_place("InfraCheck-a", ["Trainer-b", "Audit"])
    assert Room(4).has_place("InfraCheck-a", ["Trainer-b", "Audit"])


def test_what_a_gpu_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "cores", lambda: 5)
    config = load("full")
    without = room(config, tmp_path, None)
    assert (without.jobs, without.gpu) == (5, False)
    assert without.peaks == dict.fromkeys(f"Trainer-{name}" for name in config.models)
    assert "GPU" not in str(without)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [kind])
    found = room(config, tmp_path, None)
    assert (found.jobs, found.gpu, found.peaks) == (5, True, {})  # what fine-tuning takes, the GPU holds
    assert "GPU" in str(found)


def test_the_longest_way_to_the_end_is_the_most_urgent():
    edges = {"a": ["b", "e"], "b": ["c"], "c": ["d"], "d": [], "e": ["d"]}
    nodes = [pipeline_pb2.PipelineNode(downstream_nodes=downstream) for downstream in edges.values()]
    for node, name in zip(nodes, edges, strict=True):
        node.node_info.id = name
    measured = Room(seconds={"a": 0.5, "c": 2, "e": 4})  # b and d take the usual second
    assert measured.urgency([nodes[n] for n in (0, 1, 4, 2, 3)]) == {"a": 5.5, "b": 4, "c": 3, "e": 5, "d": 1}


def test_trainers_come_before_what_asks_models():
    usual = Room().urgency([pipeline_pb2.PipelineNode(node_info={"id": name}) for name in ("Trainer-a", "InfraCheck-a", "Pusher-a")])
    assert usual["Trainer-a"] > usual["InfraCheck-a"] > usual["Pusher-a"]

"""Versions come, go, break and move labels while requests run; over a real socket."""

import shutil
import threading

import grpc
import pytest

CONFIG = 'model_config_list {{ config {{ name: "half_plus" base_path: "{base}" model_platform: "tensorflow" {more} }} }}'


@pytest.fixture
def config(tmp_path, models):
    """Writes a models.config for half_plus and returns its path."""

    def run(more=""):
        path = tmp_path / "models.config"
        path.write_text(CONFIG.format(base=models / "half_plus", more=more))
        return path

    return run


@pytest.fixture
def reload(config):
    """Sends a reload request with a config."""

    def run(caller, more=""):
        from google.protobuf import text_format
        from tensorflow_serving.apis import model_management_pb2
        from tensorflow_serving.config import model_server_config_pb2

        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(text_format.Parse(config(more).read_text(), model_server_config_pb2.ModelServerConfig()))
        return caller.model.HandleReloadConfigRequest(request, timeout=60)

    return run


def publish(golden_models, models, number=124, source=124):
    """Puts a version in place whole: a server that polls meanwhile would load, like TensorFlow Serving, what is there so far."""
    target = models / "half_plus" / str(number)
    unfinished = target.with_name(f"{number}.unfinished")
    shutil.copytree(golden_models / "half_plus" / str(source), unfinished)
    return unfinished.rename(target)


class Load:
    """Clients that call without pause and keep what they were answered."""

    def __init__(self, caller, threads=3):
        self.answers, self.errors, self._end = [], [], threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(caller,)) for _ in range(threads)]

    def _run(self, caller):
        while not self._end.is_set():
            try:
                self.answers.append(caller.half())
            except grpc.RpcError as error:
                self.errors.append((error.code().name, error.details()))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()


def test_new_version_under_load_loses_no_request(start, models, golden_models, connect, until):
    caller = connect(start(models, load_retries=5, load_retry_seconds=0.1).address)
    with Load(caller) as load:
        until(lambda: len(load.answers) > 20, "the load")
        publish(golden_models, models)
        until(lambda: load.answers[-1][0] == 124, "the new version's answers")
        until(lambda: caller.states().get(123, ("",))[0] == "END", "the end of the old version")
        count = len(load.answers)
        until(lambda: len(load.answers) > count + 20, "more load")
    assert load.errors == []
    right = {123: [2.5, 3.0], 124: [3.5, 4.0]}
    assert all(values == right[version] for version, values in load.answers)
    assert caller.states() == {124: ("AVAILABLE", ""), 123: ("END", "")}


def test_corrupt_new_version_leaves_the_old_one(start, models, golden_models, connect, until):
    caller = connect(start(models, load_retries=1, load_retry_seconds=0.1).address)
    broken = models / "half_plus" / "200"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"not a SavedModel")
    with Load(caller, threads=1) as load:
        until(lambda: caller.states().get(200, ("",))[0] == "END", "giving up")
        until(lambda: len(load.answers) > 20, "the load")
    assert load.errors == []
    assert {version for version, _ in load.answers} == {123}
    state, message = caller.states()[200]
    assert state == "END"
    assert "saved_model.pb" in message
    assert caller.states()[123] == ("AVAILABLE", "")
    shutil.rmtree(broken)
    publish(golden_models, models, number=201)
    until(lambda: caller.half()[0] == 201, "a higher good version")


def test_variables_cut_short_count_as_corrupt(start, models, golden_models, connect, until):
    caller = connect(start(models).address)
    target = models / "half_plus" / "124"
    shutil.copytree(golden_models / "half_plus" / "124", models / "copy")
    data = next((models / "copy" / "variables").glob("*.data*"))
    data.write_bytes(data.read_bytes()[:2])
    (models / "copy").rename(target)
    until(lambda: caller.states().get(124, ("",))[0] == "END", "giving up")
    assert caller.states()[124][1]
    assert caller.half() == (123, [2.5, 3.0])


def test_failed_load_is_tried_again(start, models, golden_models, connect, until):
    caller = connect(start(models, load_retries=1000, load_retry_seconds=0.05).address)
    target = models / "half_plus" / "124"
    target.mkdir()
    until(lambda: caller.states().get(124, ("", ""))[1], "the reason of the first failure")
    assert caller.states()[124][0] == "LOADING"
    shutil.copytree(golden_models / "half_plus" / "124", target, dirs_exist_ok=True)
    until(lambda: caller.half()[0] == 124, "the completed version")
    assert caller.states()[124] == ("AVAILABLE", "")


def test_broken_versions_do_not_keep_others_from_loading(start, models, golden_models, connect, until):
    caller = connect(start(models, load_threads=1, load_retries=5, load_retry_seconds=600).address)
    (models / "image" / "2").mkdir()
    until(lambda: caller.states("image").get(2, ("", ""))[1], "the first failure")
    publish(golden_models, models)
    until(lambda: caller.half()[0] == 124, "the other model's new version")
    assert caller.states("image")[1][0] == "AVAILABLE"


def test_going_back_by_deleting_the_newest(start, models, golden_models, connect, until):
    target = publish(golden_models, models)
    caller = connect(start(models).address)
    assert caller.half()[0] == 124
    shutil.rmtree(target)
    until(lambda: caller.half()[0] == 123, "the older version")


def test_base_path_that_goes_away_keeps_what_is_loaded(start, models, connect, until):
    server = start(models)
    caller = connect(server.address)
    (models / "half_plus").rename(models / "elsewhere")
    for _ in range(3):
        server.manager.poll()
    assert caller.half()[0] == 123


def test_policies(start, models, golden_models, connect, until, config, reload):
    publish(golden_models, models)
    publish(golden_models, models, number=125)
    caller = connect(start(model_config_file=config("model_version_policy { latest { num_versions: 2 } }")).address)
    assert [n for n, (state, _) in caller.states().items() if state == "AVAILABLE"] == [125, 124]
    assert caller.half()[0] == 125
    assert caller.half(version=124)[0] == 124
    assert caller.refusal(lambda: caller.half(version=123)) == ("NOT_FOUND", "Servable not found for request: Specific(half_plus, 123)")
    reload(caller, "model_version_policy { specific { versions: 123 } }")
    until(lambda: caller.half()[0] == 123, "the specific version")
    reload(caller, "model_version_policy { all {} }")
    until(lambda: len([1 for state, _ in caller.states().values() if state == "AVAILABLE"]) == 3, "all versions")


def test_labels_move_by_reload(start, models, golden_models, connect, config, reload):
    publish(golden_models, models)
    both = "model_version_policy { all {} } "
    caller = connect(start(model_config_file=config(both + 'version_labels { key: "stable" value: 123 }')).address)
    assert caller.half(label="stable")[0] == 123
    reload(caller, both + 'version_labels { key: "stable" value: 124 }')
    assert caller.half(label="stable")[0] == 124
    refused = caller.refusal(lambda: reload(caller, both + 'version_labels { key: "stable" value: 999 }'))
    text = "Request to assign label to version 999 of model half_plus, which is not currently available for inference"
    assert refused == ("FAILED_PRECONDITION", text)
    assert caller.half(label="stable")[0] == 124


def test_label_without_its_version_stops_the_start(start, config):
    from cxr.core.errors import CxrError

    with pytest.raises(CxrError, match="label to version 999"):
        start(model_config_file=config('version_labels { key: "stable" value: 999 }'))


def test_label_for_a_version_to_come_where_allowed(start, models, golden_models, connect, until, config):
    path = config('model_version_policy { all {} } version_labels { key: "next" value: 124 }')
    caller = connect(start(model_config_file=path, allow_version_labels_for_unavailable_models=True).address)
    refused = caller.refusal(lambda: caller.half(label="next"))
    assert refused == ("NOT_FOUND", "Servable not found for request: Specific(half_plus, 124)")
    publish(golden_models, models)
    until(lambda: caller.states().get(124, ("",))[0] == "AVAILABLE", "the new version")
    assert caller.half(label="next")[0] == 124


def test_changed_file_is_applied_and_a_broken_one_is_not(start, models, golden_models, connect, until, config, caplog):
    publish(golden_models, models)
    path = config("model_version_policy { specific { versions: 123 } }")
    caller = connect(start(model_config_file=path, model_config_file_poll_seconds=0.05).address)
    assert caller.half()[0] == 123
    config("model_version_policy { specific { versions: 124 } }")
    until(lambda: caller.half()[0] == 124, "the changed file")
    path.write_text("model_config_list {")
    until(lambda: "not applied" in caplog.text, "the refusal of the broken file")
    assert caller.half()[0] == 124


def test_reload_unloads_what_is_left_out(start, models, connect, until, reload):
    caller = connect(start(models).address)
    assert caller.states("image")[1][0] == "AVAILABLE"
    reload(caller)
    until(lambda: caller.states("image")[1][0] == "END", "the unload")
    assert caller.half()[0] == 123


def test_reload_refuses_a_change_of_platform(start, models, connect, reload):
    from google.protobuf import text_format
    from tensorflow_serving.apis import model_management_pb2

    caller = connect(start(models).address)
    text = f'config {{ model_config_list {{ config {{ name: "half_plus" base_path: "{models}/half_plus" model_platform: "other" }} }} }}'
    request = text_format.Parse(text, model_management_pb2.ReloadConfigRequest())
    code, message = caller.refusal(lambda: caller.model.HandleReloadConfigRequest(request, timeout=60))
    assert code == "INVALID_ARGUMENT"
    assert message.startswith("Illegal to change a model's platform.")


def test_start_that_cannot_load_says_why(start, models):
    from cxr.core.errors import CxrError

    (models / "half_plus" / "123" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(CxrError, match=r"half_plus: version 123: .*saved_model.pb"):
        start(models)


def test_start_waits_for_a_first_version(start, models, golden_models, config):
    shutil.rmtree(models / "half_plus" / "123")
    path = config()
    timer = threading.Timer(0.5, lambda: publish(golden_models, models))
    timer.start()
    server = start(model_config_file=path, load_retries=100, load_retry_seconds=0.05)
    timer.join()
    assert server.manager.states("half_plus")[124].number == 124


def test_port_in_use_is_a_plain_error(start, models):
    from cxr.core.errors import CxrError

    port = int(start(models).address.rpartition(":")[2])
    with pytest.raises(CxrError, match=f"port {port}"):
        start(models, port=port)

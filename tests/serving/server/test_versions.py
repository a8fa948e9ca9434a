"""Versions come, go, break and move labels while requests run; over a real socket."""

import shutil
import threading

import grpc
import pytest

from cxr.core.errors import CxrError

CONFIG = 'model_config_list {{ config {{ name: "half_plus" base_path: "{base}" model_platform: "tensorflow" {more} }} }}'


@pytest.fixture
def config(tmp_path, models):
    """Writes a models.config for half_plus and returns its path."""

    def run(more=""):
        path = tmp_path / "models.config"
        replaced(path, CONFIG.format(base=models / "half_plus", more=more))
        return path

    return run


def replaced(path, text):
    """Gives a file another text in one step: a server that polls would else read it empty, now and then."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def configuration(models, more="", others=None):
    """A reload request for half_plus and other models, {name: base path}."""
    from google.protobuf import text_format
    from tensorflow_serving.apis import model_management_pb2

    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(CONFIG.format(base=models / "half_plus", more=more), request.config)
    for name, base in (others or {}).items():
        request.config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
    return request


@pytest.fixture
def reload(models):
    """Sends a reload request for half_plus and other models."""
    return lambda caller, more="", **others: caller.model.HandleReloadConfigRequest(configuration(models, more, others), timeout=60)


def publish(golden_models, models, number=124, source=124):
    """Puts a version in place whole: a server that polls meanwhile would load, like TensorFlow Serving, what is there so far."""
    target = models / "half_plus" / str(number)
    unfinished = target.with_name(f"{number}.unfinished")
    shutil.copytree(golden_models / "half_plus" / str(source), unfinished)
    return unfinished.rename(target)


class Load:
    """Clients that call without pause and keep what they were answered."""

    def __init__(self, caller, threads=3, **spec):
        self.answers, self.errors, self._end, self._spec = [], [], threading.Event(), spec
        self._threads = [threading.Thread(target=self._run, args=(caller,)) for _ in range(threads)]

    def _run(self, caller):
        while not self._end.is_set():
            try:
                self.answers.append(caller.half(**self._spec))
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


def test_a_version_without_a_saved_model_is_not_found(start, models, connect, until):
    """TensorFlow Serving's code; clients are not told where the server has its models."""
    from tensorflow_serving.apis import get_model_status_pb2, model_pb2

    caller = connect(start(models).address)
    (models / "half_plus" / "200").mkdir()
    until(lambda: caller.states().get(200, ("",))[0] == "END", "giving up")
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name="half_plus"))
    status = caller.model.GetModelStatus(request, timeout=60).model_version_status[0].status
    assert status.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert status.error_message.startswith("Could not find SavedModel .pb or .pbtxt of model half_plus version 200: push it again")
    assert str(models) not in status.error_message
    assert caller.half() == (123, [2.5, 3.0])


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


def test_what_a_look_does_not_find_is_said_once(start, models, golden_models, config, caplog):
    server = start(model_config_file=config("model_version_policy { specific { versions: 123 versions: 7 } }"))
    base = models / "half_plus"

    def said() -> list[str]:
        for _ in range(3):
            server.manager.poll()
        found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        caplog.clear()
        return found

    again = "looking again every 0.05 s"
    assert said() == [f"half_plus: its base_path {base} has no version 7, which its policy names; {again}"]
    base.rename(models / "elsewhere")
    assert said() == [f"half_plus: its base_path {base} cannot be listed; {again}"]
    base.mkdir()
    assert said() == [f"half_plus: its base_path {base} has no version 7, 123, which its policy names; {again}"]
    base.rmdir()
    (models / "elsewhere").rename(base)
    caplog.set_level("INFO")
    publish(golden_models, models, number=7)
    server.manager.poll()
    assert caplog.messages.count("half_plus: all that it is to have is there now") == 1
    caplog.clear()
    assert said() == []


def test_a_start_that_finds_no_version_says_what_it_waits_for(start, models, config, caplog):
    shutil.rmtree(models / "half_plus" / "123")
    with pytest.raises(CxrError, match="no version loaded"):
        start(model_config_file=config(), start_seconds=0.3)
    (found,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"{models / 'half_plus'} has no version (a folder with a number" in found


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
    caller = connect(start(model_config_file=config(both)).address)
    reload(caller, both + 'version_labels { key: "stable" value: 123 }')
    assert caller.half(label="stable")[0] == 123
    reload(caller, both + 'version_labels { key: "stable" value: 124 }')
    assert caller.half(label="stable")[0] == 124
    refused = caller.refusal(lambda: reload(caller, both + 'version_labels { key: "stable" value: 999 }'))
    text = "Request to assign label to version 999 of model half_plus, which is not currently available for inference"
    assert refused == ("FAILED_PRECONDITION", text)
    assert caller.half(label="stable")[0] == 124


def test_labels_in_the_first_configuration_need_the_flag(start, config, connect):
    """They are checked before any model is loaded, as in TensorFlow Serving: the version that is there does not help."""
    from cxr.core.errors import CxrError

    path = config('version_labels { key: "stable" value: 123 }')
    text = "label to version 123 of model half_plus, which is not currently available .* --allow-version-labels-for-unavailable-models"
    with pytest.raises(CxrError, match=text):
        start(model_config_file=path)
    assert connect(start(model_config_file=path, allow_version_labels_for_unavailable_models=True).address).half(label="stable")[0] == 123


def test_version_and_label_in_one_reload_are_refused(start, models, golden_models, connect, config, reload):
    """Two stages, as in TensorFlow Serving: first the version, and when it is available the label."""
    publish(golden_models, models)
    caller = connect(start(model_config_file=config("model_version_policy { specific { versions: 123 } }")).address)
    both = "model_version_policy { specific { versions: 123 versions: 124 } }"
    code, message = caller.refusal(lambda: reload(caller, both + 'version_labels { key: "stable" value: 124 }'))
    assert (code, message[:35]) == ("FAILED_PRECONDITION", "Request to assign label to version ")
    assert list(caller.states()) == [123]  # it was not loaded either


def test_flag_lets_only_unused_labels_name_what_is_not_there(start, models, config, reload, connect):
    path = config('version_labels { key: "stable" value: 999 }')
    caller = connect(start(model_config_file=path, allow_version_labels_for_unavailable_models=True).address)
    reload(caller, 'version_labels { key: "stable" value: 999 } version_labels { key: "canary" value: 998 }')
    moved = caller.refusal(lambda: reload(caller, 'version_labels { key: "stable" value: 998 }'))
    assert moved[0] == "FAILED_PRECONDITION"


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
    replaced(path, "model_config_list {")
    until(lambda: "not applied" in caplog.text, "the refusal of the broken file")
    said = next(record.getMessage() for record in caplog.records if "not applied" in record.getMessage())
    assert said.startswith(f"not applied, the former configuration goes on: {path}: not a ModelServerConfig")
    assert said.count(str(path)) == 1
    assert caller.half()[0] == 124


@pytest.mark.parametrize("from_file", [False, True])
def test_models_that_do_not_come_are_laid_to_a_file_only_where_there_is_one(start, models, config, from_file):
    (models / "half_plus" / "123" / "saved_model.pb").write_bytes(b"broken")
    path = config()
    with pytest.raises(CxrError) as caught:
        start(model_config_file=path) if from_file else start(models)
    assert str(caught.value).startswith(f"{path}: Some models did" if from_file else "Some models did not become available: half_plus")


def test_reload_unloads_what_is_left_out(start, models, connect, until, reload):
    caller = connect(start(models).address)
    assert caller.states("image")[1][0] == "AVAILABLE"
    reload(caller)
    until(lambda: caller.states("image")[1][0] == "END", "the unload")
    assert caller.half()[0] == 123


@pytest.mark.seconds
@pytest.mark.parametrize("fault", ["label", "broken model", "model that never comes"])
def test_refused_reload_changes_nothing(start, models, golden_models, connect, config, reload, fault):
    """It leaves out a model, unloads a version, moves a good label: none of it happens, and nothing of the new model stays."""
    publish(golden_models, models)
    caller = connect(start(model_config_file=config("model_version_policy { all {} }")).address)
    reload(caller, 'model_version_policy { all {} } version_labels { key: "stable" value: 123 }', image=models / "image")
    (models / "new" / "1").mkdir(parents=True)
    (models / "empty").mkdir()
    good = 'model_version_policy { specific { versions: 124 } } version_labels { key: "stable" value: 124 }'
    with Load(caller, threads=1) as load:
        if fault == "label":
            refused = caller.refusal(lambda: reload(caller, good + 'version_labels { key: "canary" value: 999 }'))
            assert refused[0] == "FAILED_PRECONDITION"
        elif fault == "broken model":
            code, message = caller.refusal(lambda: reload(caller, good, new=models / "new"))
            assert (code, message[:53]) == ("UNKNOWN", "Some models did not become available: new: version 1:")
        else:
            empty = configuration(models, good, {"empty": models / "empty"})
            assert caller.refusal(lambda: caller.model.HandleReloadConfigRequest(empty, timeout=1))[0] in ("DEADLINE_EXCEEDED", "UNKNOWN")
    assert load.errors == []
    assert caller.states() == {124: ("AVAILABLE", ""), 123: ("AVAILABLE", "")}
    assert caller.states("image")[1][0] == "AVAILABLE"
    assert caller.half(label="stable")[0] == 123
    refused = caller.refusal(lambda: caller.half(name="new" if fault == "broken model" else "empty"))
    assert refused[0] == "NOT_FOUND"


def test_reload_that_waits_gives_way_to_the_next(start, models, connect, until, reload):
    """What promote relies on: the reload that puts things back is not held up by the one that never ends."""
    (models / "empty").mkdir()
    server = start(models)
    caller, refusals = connect(server.address), []
    thread = threading.Thread(target=lambda: refusals.append(caller.refusal(lambda: reload(caller, empty=models / "empty"))))
    thread.start()
    until(lambda: server.manager._change == 2, "the reload that waits")
    assert caller.states("image")[1][0] == "AVAILABLE"
    reload(caller, 'version_labels { key: "stable" value: 123 }')
    thread.join()
    assert refusals == [("ABORTED", "A later configuration came while the models of this one were loading")]
    assert caller.half(label="stable")[0] == 123


def test_file_that_changes_again_while_its_models_are_awaited(start, models, golden_models, connect, until, config):
    path = config()
    server = start(model_config_file=path, model_config_file_poll_seconds=0.05)
    caller = connect(server.address)
    (models / "empty").mkdir()
    replaced(path, str(configuration(models, "", {"empty": models / "empty"}).config))
    until(lambda: server.manager._change == 2, "the change that waits")
    config('version_labels { key: "stable" value: 123 }')
    until(lambda: server.manager._change > 2, "the next one")
    until(lambda: server.manager._models["half_plus"].labels, "its label")
    assert caller.half(label="stable")[0] == 123


def test_same_version_from_another_folder_loses_no_request(start, models, golden_models, connect, until, config, reload):
    """Version 123 moves; its label, its number and `latest` answer all the time, from the old folder until the new one is loaded."""
    shutil.copytree(golden_models / "half_plus" / "124", models / "elsewhere" / "123")
    caller = connect(start(model_config_file=config()).address)
    label = 'version_labels { key: "stable" value: 123 }'
    reload(caller, label)
    with Load(caller) as latest, Load(caller, threads=1, label="stable") as labelled, Load(caller, threads=1, version=123) as numbered:
        until(lambda: len(latest.answers) > 20, "the load")
        request = configuration(models, label)
        request.config.model_config_list.config[0].base_path = str(models / "elsewhere")
        caller.model.HandleReloadConfigRequest(request, timeout=60)
        until(lambda: caller.half() == (123, [3.5, 4.0]), "the answers of the other folder's model")
        assert caller.states() == {123: ("AVAILABLE", "")}
        (models / "broken" / "123").mkdir(parents=True)
        request.config.model_config_list.config[0].base_path = str(models / "broken")
        caller.model.HandleReloadConfigRequest(request, timeout=60)
        count = len(latest.answers)
        until(lambda: len(latest.answers) > count + 20, "more load")
    assert latest.errors == labelled.errors == numbered.errors == []
    assert caller.half() == (123, [3.5, 4.0])  # what could not be replaced goes on


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


def test_version_replaced_in_place_is_answered_as_it_was_loaded(start, models, golden_models, connect):
    """As TensorFlow Serving, which looks at numbers: what is new has a new number, and what was loaded needs its files no more."""
    server = start(models)
    caller = connect(server.address)
    shutil.copytree(golden_models / "half_plus" / "124", models / "half_plus" / "123", dirs_exist_ok=True)
    for _ in range(3):
        server.manager.poll()
    assert caller.half() == (123, [2.5, 3.0])
    assert connect(start(models).address).half() == (123, [3.5, 4.0])  # a server that starts now


def test_the_only_version_deleted_ends_its_answers_and_no_others(start, models, golden_models, connect, until):
    caller = connect(start(models).address)
    shutil.rmtree(models / "half_plus" / "123")
    until(lambda: caller.states()[123][0] == "END", "the unload")
    assert caller.refusal(caller.half) == ("NOT_FOUND", "Servable not found for request: Latest(half_plus)")
    assert caller.states("image")[1][0] == "AVAILABLE"
    publish(golden_models, models, number=123)  # put back
    until(lambda: caller.states()[123][0] == "AVAILABLE", "the version that was put back")
    assert caller.half() == (123, [3.5, 4.0])

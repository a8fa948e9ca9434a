"""kfp's own client against a server that speaks the part of its REST API that a submission needs."""

import json
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import typer
import urllib3
import yaml
from typer.testing import CliRunner

from cxr.cli import kubeflow
from cxr.core import exit_codes
from cxr.core.errors import CxrError, UsageError
from cxr.kubeflow.client import Address, Pipelines

pytestmark = pytest.mark.seconds

RUN = "11111111-2222-3333-4444-555555555555"
PAGE = "a page to log in"


class Server(ThreadingHTTPServer):
    """Remembers what it was asked, answers with the states that a test sets."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, Any]] = []  # method, path, and what came with it
        self.states, self.status = ["SUCCEEDED"], 200  # of a run: a number is the status of an answer without one, PAGE a page's
        self.health = [200]
        self.pushers: list[dict[str, str]] = [{}]  # per request (the last one stays): name of a node of Argo's workflow: state
        self.multi_user = False
        self.daemon_threads = True

    @property
    def host(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.requests.append(("GET", self.path, self.headers.get("authorization")))
        if path.endswith("/healthz"):
            status = self.server.health.pop(0) if len(self.server.health) > 1 else self.server.health[0]
            self.answer({"multi_user": self.server.multi_user} if status == 200 else {"error": "no"}, status)
        elif "/experiments" in path:
            self.answer({"experiments": [{"experiment_id": "e", "display_name": "cxr", "namespace": "kubeflow"}]})
        elif f"/runs/{RUN}" in path:
            state = self.server.states.pop(0) if len(self.server.states) > 1 else self.server.states[0]
            if isinstance(state, int):
                return self.answer({"error": "no healthy upstream"}, state)
            if state == PAGE:
                return self.send("<html>", "text/html")
            nodes = self.server.pushers.pop(0) if len(self.server.pushers) > 1 else self.server.pushers[0]
            tasks = [{"display_name": name, "state": found} for name, found in [("Trainer-mobilenet", state), *nodes.items()]]
            self.answer({"run_id": RUN, "display_name": "tiny", "state": state, "run_details": {"task_details": tasks}})
        else:
            self.answer({}, 404)
        return None

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
        self.server.requests.append(("POST", self.path, body))
        if self.server.status != 200:
            self.answer({"error": "no"}, self.server.status)
        elif self.server.states == [PAGE]:
            self.send("<html>", "text/html")
        elif self.path.endswith("/recurringruns"):
            self.answer({"recurring_run_id": "r"})
        else:
            self.answer({"run_id": RUN, "display_name": "tiny", "state": "PENDING", "experiment_id": "e"})

    def answer(self, value, status=200):
        self.send(json.dumps(value), "application/json", status)

    def send(self, value, kind, status=200):
        text = value.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # kfp's client keeps a context file there
    monkeypatch.setattr("kfp.client.client.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("KF_PIPELINES_ENDPOINT", "KUBERNETES_SERVICE_HOST", "CXR_KFP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    found = Server()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)  # the fixture's end waits as long
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def command(*arguments):
    app = typer.Typer()
    kubeflow.register(app)
    return CliRunner().invoke(app, ["kubeflow", *(str(argument) for argument in arguments)])


def posted(server, end):
    return next(body for method, path, body in server.requests if method == "POST" and path.split("?")[0].endswith(end))


def test_submit_waits_and_tells_the_result(server, package, monkeypatch):
    monkeypatch.setattr("cxr.kubeflow.client.time.sleep", lambda seconds: None)
    server.states = ["PENDING", "RUNNING", "SUCCEEDED"]
    done = command("submit", package, "epochs_mobilenet=5", "--host", server.host, "--no-baseline")
    assert done.exit_code == 0, done.output
    assert RUN in done.stdout
    assert [line.split()[0] for line in done.stderr.splitlines() if "Trainer-mobilenet" in line] == ["PENDING", "RUNNING", "SUCCEEDED"]
    run = posted(server, "/runs")
    assert run["runtime_config"]["parameters"] == {"epochs_mobilenet": 5, "baseline_mobilenet": "none"}


@pytest.mark.parametrize(("state", "code"), [("FAILED", 1), ("CANCELED", 1), ("SUCCEEDED", 0), ("RUNNING", 0)])
def test_the_exit_code_of_status(server, state, code):
    server.states = [state]
    done = command("status", RUN, "--host", server.host)
    assert done.exit_code == code
    assert state in done.stdout


@pytest.fixture
def one_refused(server):
    """What KFP reports where the second model's Pusher was skipped, and the first one's trainer came from the cache."""
    server.pushers = [
        {
            "root": "SUCCEEDED",
            "executor": "SKIPPED",  # the container inside a cached task
            "Pusher-mobilenet-driver": "SUCCEEDED",
            "Pusher-mobilenet": "SUCCEEDED",
            "Pusher-ensemble-driver": "SUCCEEDED",
            "Pusher-ensemble": "SKIPPED",
        }
    ]


def test_status_exits_with_the_gates_code(server, one_refused):
    done = command("status", RUN, "--host", server.host)
    assert done.exit_code == exit_codes.REFUSED
    assert "ensemble: refused" in done.stderr


def test_waiting_exits_with_the_gates_code(server, one_refused, package):
    done = command("submit", package, "--host", server.host)
    assert done.exit_code == exit_codes.REFUSED
    assert "ensemble: refused" in done.stderr


def test_waiting_outlasts_tasks_that_are_reported_after_their_run(server, monkeypatch):
    monkeypatch.setattr("cxr.kubeflow.client.time.sleep", lambda seconds: None)
    server.states = ["RUNNING", "SUCCEEDED"]
    server.pushers = [{"Pusher-mobilenet": state} for state in ("RUNNING", "RUNNING", "SKIPPED")]
    *_, last = Pipelines(Address(host=server.host)).watch(RUN)
    assert last.exit_code == exit_codes.REFUSED


def test_waiting_for_such_tasks_ends(server, monkeypatch):
    monkeypatch.setattr("cxr.kubeflow.client.time.sleep", lambda seconds: None)
    server.pushers = [{"Pusher-mobilenet": "RUNNING"}]
    *_, last = Pipelines(Address(host=server.host)).watch(RUN)
    assert last.exit_code == exit_codes.FAILED


@pytest.fixture
def unhurried(monkeypatch):
    monkeypatch.setattr("cxr.kubeflow.client.time.sleep", lambda seconds: None)


@pytest.mark.parametrize("fault", [429, 500, 502, 503])
def test_waiting_outlasts_a_server_that_has_no_answer_for_a_moment(server, unhurried, fault):
    server.states = ["RUNNING", fault, fault, "RUNNING", fault, "SUCCEEDED"]
    done = command("status", RUN, "--wait", "--host", server.host)
    assert done.exit_code == 0, done.output
    states = [line.split()[0] for line in done.stderr.splitlines() if "Trainer-mobilenet" in line]
    assert states == ["RUNNING", "SUCCEEDED"]
    told = [line for line in done.stderr.splitlines() if f"{fault} " in line]
    assert len(told) == 2, done.stderr  # once each time that it stops to answer
    assert done.stderr.count("answers again") == 2


def test_waiting_outlasts_a_server_that_cannot_be_reached(server, unhurried, monkeypatch):
    pipelines = Pipelines(Address(host=server.host))
    get_run = pipelines._client.runs.run_service_get_run
    told: list[str] = []
    faults = [urllib3.exceptions.ProtocolError("broken off"), TimeoutError("read")]

    def broken(*arguments, **settings):
        if faults:
            raise faults.pop()
        return get_run(*arguments, **settings)

    monkeypatch.setattr(pipelines._client.runs, "run_service_get_run", broken)
    assert [run.state for run in pipelines.watch(RUN, tell=told.append)] == ["SUCCEEDED"]
    assert [text.split("; ")[0] for text in told] == [f"run {RUN}: not reachable (read)", f"run {RUN}: the server answers again"]


@pytest.mark.parametrize("state", [503, 401, PAGE])
def test_a_run_that_can_no_longer_be_followed_is_not_told_as_failed(server, unhurried, monkeypatch, state):
    monkeypatch.setattr("cxr.kubeflow.client._PATIENCE", 0.0)
    server.states = ["RUNNING", state]
    error = command("status", RUN, "--wait", "--host", server.host).exception
    assert isinstance(error, CxrError)
    assert f"the run was not stopped, only this command no longer follows it: `cxr kubeflow status {RUN} --wait`" in str(error)


def test_who_stops_waiting_is_told_that_the_run_goes_on(server, package, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("cxr.kubeflow.client.time.sleep", interrupted)
    server.states = ["RUNNING"]
    done = command("submit", package, "--host", server.host)
    assert done.exit_code == exit_codes.INTERRUPTED
    assert f"the run was not stopped: `cxr kubeflow status {RUN} --wait` follows it, `cxr kubeflow cancel {RUN}` stops it" in done.stderr
    assert not any(path.endswith(":terminate") for _, path, _ in server.requests)


def test_a_time_to_wait_holds_while_the_server_is_silent(server, unhurried):
    server.states = [503]
    with pytest.raises(CxrError, match="still without an answer after 0 s; it goes on"):
        list(Pipelines(Address(host=server.host)).watch(RUN, timeout=0.0))


def test_a_run_that_is_not_there_is_not_waited_for(server, unhurried):
    with pytest.raises(CxrError, match="404 .*no such thing$"):
        list(Pipelines(Address(host=server.host)).watch("other"))


def test_a_page_to_log_in_is_no_state_of_a_run(server, package):
    server.states = [PAGE]
    pipelines = Pipelines(Address(host=server.host))
    for asked in (lambda: pipelines.run(RUN), lambda: pipelines.submit(package, {})):
        with pytest.raises(CxrError, match="the answer is not one of Kubeflow Pipelines' API, but perhaps a page to log in"):
            asked()


def test_a_recurring_run_is_not_made_by_a_page(server, package):
    server.states = [PAGE]
    with pytest.raises(CxrError, match="the answer is not one of Kubeflow Pipelines' API"):
        Pipelines(Address(host=server.host)).submit_recurring(package, {}, cron="@daily", name="nightly")


def test_a_refusal_is_told_at_once_and_without_a_traceback(server, unhurried, caplog):
    server.health = [401]
    with pytest.raises(CxrError, match="401 .*; set CXR_KFP_TOKEN, or give --token-file"):
        Pipelines(Address(host=server.host))
    assert len(server.requests) == 1
    assert not caplog.records


def test_a_server_that_is_starting_is_asked_again(server, unhurried, caplog):
    server.health = [503, 503, 200]
    assert Pipelines(Address(host=server.host)).run(RUN).state == "SUCCEEDED"
    server.health = [503]
    with pytest.raises(CxrError, match="503"):
        Pipelines(Address(host=server.host))
    assert not caplog.records


def test_the_client_says_nothing_of_its_own(server):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pipelines(Address(host=server.host))


def test_a_token_is_sent(server, monkeypatch, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret")
    command("status", RUN, "--host", server.host, "--token-file", token)
    assert {header for _, _, header in server.requests} == {"Bearer secret"}


def test_cancel(server):
    assert command("cancel", RUN, "--host", server.host).exit_code == 0
    assert any(path.endswith(f"{RUN}:terminate") for method, path, _ in server.requests if method == "POST")


def test_a_recurring_run(server, package):
    done = command("submit", package, "--host", server.host, "--cron", "0 0 3 * * *", "--name", "nightly")
    assert done.exit_code == 0, done.output
    body = posted(server, "/recurringruns")
    assert body["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert body["no_catchup"] is True
    spec, platform = yaml.safe_load_all(package.read_text())
    spec["root"]["dag"]["tasks"]["a"]["cachingOptions"] = {"enableCache": True}
    package.write_text(yaml.safe_dump_all([spec, platform]))
    for options, cached in (([], True), (["--no-cache"], False)):
        server.requests.clear()
        done = command("submit", package, "--host", server.host, "--cron", "@daily", "--name", "nightly", *options)
        assert done.exit_code == 0, done.output
        assert ('"enableCache": true' in json.dumps(posted(server, "/recurringruns")["pipeline_spec"])) == cached


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["epochs_mobilenet=3", "epochs_mobilenet=4"], "parameter epochs_mobilenet: given twice, as '3' and as '4'"),
        (["--no-baseline", "baseline_mobilenet=/mnt/cxr/m"], "--no-baseline and baseline_mobilenet=/mnt/cxr/m: say one of them"),
    ],
)
def test_what_contradicts_itself_is_not_sent(server, package, given, said):
    error = command("submit", package, "--host", server.host, *given).exception
    assert isinstance(error, UsageError)
    assert str(error) == said
    assert not server.requests


def test_no_baseline_may_be_said_twice(server, package):
    done = command("submit", package, "--host", server.host, "--no-baseline", "baseline_mobilenet=none", "--no-wait")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("cron", ["0 3 * * *", "nonsense", ""])
def test_a_cron_of_five_fields_would_run_at_other_times(server, package, cron):
    error = command("submit", package, "--host", server.host, "--cron", cron).exception
    assert isinstance(error, UsageError)
    assert "six fields" in str(error)


def test_refusals_are_explained(server, package):
    server.status = 403
    with pytest.raises(CxrError, match="403.*may not do this"):
        Pipelines(Address(host=server.host)).submit(package, {})


def test_an_unreachable_host_is_explained():
    with pytest.raises(CxrError, match="not reachable"):
        Pipelines(Address(host="http://127.0.0.1:9"))


@pytest.fixture
def kubeconfig(server, tmp_path, monkeypatch):
    """One that leads to the server; kubernetes reads its paths when it is imported."""
    file = tmp_path / "kubeconfig"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server.host}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    return file


def test_by_kubeconfig_the_service_is_looked_for_where_kfp_is_installed(server, kubeconfig):
    server.multi_user = True
    assert Pipelines(Address(namespace="alice")).run(RUN).state == "SUCCEEDED"
    proxy = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/"
    assert server.requests
    assert all(path.startswith(proxy) for _, path, _ in server.requests)


def test_inside_a_cluster_too_and_with_a_token(server, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    with pytest.raises(CxrError, match=r"Kubeflow Pipelines at http://ml-pipeline\.kfp\.svc\.cluster\.local:8888: not reachable"):
        Pipelines(Address(namespace="alice", installation="kfp", token="t"))


def test_a_place_that_nobody_named_has_a_remedy(server, monkeypatch, tmp_path):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(CxrError, match="kubectl port-forward -n kubeflow .* --host http://localhost:8080"):
        Pipelines(Address())
    with pytest.raises(CxrError, match="a token needs the host"):
        Pipelines(Address(token="t"))


def test_a_file_that_is_no_kubeconfig_has_a_remedy_too(server, kubeconfig):
    kubeconfig.write_text("[]")
    with pytest.raises(CxrError, match=r"no kubeconfig that can be used \(.*kubeconfig: not in the form of a kubeconfig .* --host"):
        Pipelines(Address())


def test_several_users_need_a_namespace_of_theirs(server):
    server.multi_user = True
    with pytest.raises(CxrError, match="give your profile's with --namespace"):
        Pipelines(Address(host=server.host))
    assert Pipelines(Address(host=server.host, namespace="alice")).run(RUN).state == "SUCCEEDED"


def test_options_in_remedies_exist(server, package):
    server.status = 401
    with pytest.raises(CxrError) as refused:
        Pipelines(Address(host=server.host)).submit(package, {})
    help_text = command("submit", "--help").output
    assert all(word.strip(",;.") in help_text for word in str(refused.value).split() if word.startswith("--"))


def test_a_token_is_not_shown_with_the_address():
    assert "TOPSECRET" not in repr(Address(host="http://h", token="TOPSECRET"))

"""Asks a server that answers as Kubernetes' API does, through its own client."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from cxr.core.errors import CxrError
from cxr.kubeflow.pod_logs import pod_logs

pytestmark = pytest.mark.seconds

RUN = "5a3e"
TRAINER, PUSHER = "p-system-container-impl-1", "p-system-container-impl-2"
LOGS = {TRAINER: (200, "epoch 1"), PUSHER: (400, 'container "main" in pod is waiting to start: ContainerCreating')}


def pod(name, second, task):
    made = f"2026-01-01T00:00:0{second}Z"
    return {"metadata": {"name": name, "creationTimestamp": made, "annotations": {"workflows.argoproj.io/node-name": f"p.{task}.executor"}}}


class Kubernetes(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path == "/api/v1/namespaces/mine/pods":
            known = query["labelSelector"] == [f"pipeline/runid={RUN}"]
            pods = [pod(PUSHER, 3, "Pusher-mobilenet"), pod(TRAINER, 2, "Trainer-mobilenet"), pod("p-system-dag-driver-1", 1, "x")]
            return self.answer(200, {"kind": "PodList", "items": pods if known else []})
        if url.path.endswith("/log"):
            assert query["container"] == ["main"]
            code, text = LOGS[url.path.split("/")[-2]]
            return self.answer(code, text if code == 200 else {"kind": "Status", "message": text})
        return self.answer(403, {"kind": "Status", "message": "pods is forbidden"})

    def answer(self, code, content):
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def cluster(tmp_path, monkeypatch):
    """Yields what ends the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    # the client reads KUBECONFIG when it is imported
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))

    def end():
        server.shutdown()
        server.server_close()

    yield end
    end()


def test_a_pod_that_waits_hides_no_other_log():
    assert list(pod_logs(RUN, "mine")) == [(TRAINER, "epoch 1"), (PUSHER, f"(no log: {LOGS[PUSHER][1]})")]


def test_one_task():
    assert list(pod_logs(RUN, "mine", "trainer-MOBILENET")) == [(TRAINER, "epoch 1")]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("other", "mine"), "run other: namespace mine has no pods of its tasks"),
        ((RUN, "mine", "Evaluator"), f"--task Evaluator: .* there are {TRAINER}, {PUSHER}"),
        ((RUN, "theirs"), "namespace theirs: 403 .* may you read pods"),
    ],
)
def test_nothing_to_show_is_said(asked, said):
    with pytest.raises(CxrError, match=said):
        list(pod_logs(*asked))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "no YAML: while parsing .* line 1, column 5"),
        (b"\xff\xfe\x00", "no YAML: 'utf-8' codec can't decode"),
        (b"[]", "not in the form of a kubeconfig"),
        (b"text", "not in the form of a kubeconfig"),
        (b"current-context: c\ncontexts: 3\n", "not in the form of a kubeconfig"),
        (b"", "file is empty"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_said(tmp_path, content, said):
    (tmp_path / "kubeconfig").write_bytes(content)
    with pytest.raises(CxrError, match=f"^logs come from Kubernetes itself: .*kubeconfig.*{said}.*; set KUBECONFIG$"):
        list(pod_logs(RUN, "mine"))


def test_a_cluster_that_does_not_answer_is_said(cluster):
    cluster()
    with pytest.raises(
        CxrError, match=r"^Kubernetes: not reachable \(.*refused.*; set KUBECONFIG to the cluster of the run, or reach it first"
    ):
        list(pod_logs(RUN, "mine"))

"""One home of the defaults that options, client and command line share."""

import json
import subprocess
import sys

import pytest

CHANGED = {
    "LOOPBACK": "127.0.0.9",
    "GRPC_PORT": 9999,
    "REST_PORT": 9998,
    "PAGE_PORT": 9997,
    "SERVER": "127.0.0.9:9999",
    "REQUEST_SECONDS": 61.5,
    "REQUEST_IMAGES": 17,
    "REQUESTS_AT_A_TIME": 5,
    "LOAD_SECONDS": 121.5,
}
CODE = """
import inspect, json, sys
from cxr.serving import defaults
light = sorted({"pydantic", "grpc", "numpy", "typer"} & set(sys.modules))
for name, value in json.loads(sys.argv[1]).items():
    assert hasattr(defaults, name)
    setattr(defaults, name, value)
import typer
from cxr.cli.main import app
commands = typer.main.get_command(app).commands
heavy = sorted({"pydantic", "grpc", "numpy"} & set(sys.modules))
from cxr.serving.client.client import Client
from cxr.serving.client.connection import Connection
from cxr.serving.page.served import Served
from cxr.serving.page.server import Page
from cxr.serving.production.changes import Changes
from cxr.serving.server.options import ServerOptions

def command(*names):
    found = commands[names[0]] if len(names) == 1 else commands[names[0]].commands[names[1]]
    return {parameter.name: parameter.default for parameter in found.params}

def function(made):
    return {name: parameter.default for name, parameter in inspect.signature(made).parameters.items()}

served = {name: field.default for name, field in ServerOptions.model_fields.items()}
serve, page, predict, bench = command("serve"), command("page"), command("predict"), command("serving", "bench")
print(json.dumps({
    "LOOPBACK": [served["host"], serve["host"], page["host"], function(Page)["host"]],
    "GRPC_PORT": [served["port"], serve["port"]],
    "REST_PORT": [served["rest_port"], serve["rest_port"]],
    "PAGE_PORT": [serve["page_port"], page["port"], function(Page)["port"]],
    "SERVER": [of["server"] for of in (page, predict, bench, function(Client), function(Connection))],
    "REQUEST_SECONDS": [of["timeout"] for of in (page, predict, function(Client), function(Served))],
    "REQUEST_IMAGES": [predict["batch_size"], function(Client)["batch_size"]],
    "REQUESTS_AT_A_TIME": [predict["in_flight"], function(Client)["max_in_flight"]],
    "LOAD_SECONDS": [command("serving", name)["wait"] for name in ("promote", "rollback")] + [function(Changes)["wait"]],
    "imported": light + heavy,
}))
"""


@pytest.mark.seconds
def test_a_default_changed_in_its_home_changes_everywhere():
    done = subprocess.run([sys.executable, "-c", CODE, json.dumps(CHANGED)], stdout=subprocess.PIPE, check=True, timeout=120)
    found = json.loads(done.stdout)
    assert found.pop("imported") == []  # the command line is built without them, so that --help is quick
    assert found == {name: [value] * len(found[name]) for name, value in CHANGED.items()}

"""Replays what TensorFlow Serving answered over a real socket: each case gives its code and its message (tests/serving/data/README.md)."""

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

CASES = json.loads((Path(__file__).parent.parent / "data" / "golden.json").read_text())["cases"]
CONFIG = """
model_config_list {{
  config {{
    name: "half_plus" base_path: "{models}/half_plus" model_platform: "tensorflow" model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 123 }} version_labels {{ key: "canary" value: 124 }}
  }}
  config {{ name: "image" base_path: "{models}/image" model_platform: "tensorflow" }}
}}
"""
# An empty batch is the one documented difference, and only with batching on (the table was recorded without).
EMPTY_BATCH = {"empty batch", "no images", "image tensor batch 0"}
NO_BATCH_DIMENSION = {"scalar"}  # refused by TensorFlow Serving's batching as well


@pytest.fixture(scope="module", params=["alone", "batched"])
def server(request, golden_models, tmp_path_factory):
    from cxr.serving.server import Server

    path = tmp_path_factory.mktemp("config") / "models.config"
    path.write_text(CONFIG.format(models=golden_models))
    batched = request.param == "batched"
    options: dict[str, Any] = {
        "model_config_file": path,
        "port": 0,
        "rest_port": None,
        "batching": {"enabled": batched},
        "allow_version_labels_for_unavailable_models": True,  # else the labels of a first configuration stop the start
    }
    with Server.start(**options) as server, grpc.insecure_channel(server.address) as channel:
        yield SimpleNamespace(channel=channel, batched=batched)


def test_all_recorded_requests_are_here():
    assert len(CASES) == 73


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_answers_as_tensorflow_serving(case, server):
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    prediction = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
    call = getattr(prediction, case["rpc"], None) or getattr(model_service_pb2_grpc.ModelServiceStub(server.channel), case["rpc"])
    request, response = _messages(case["rpc"])
    message = request.FromString(base64.b64decode(case["request"]))
    if server.batched and case["name"] in EMPTY_BATCH | NO_BATCH_DIMENSION:
        with pytest.raises(grpc.RpcError) as refused:
            call(message, timeout=60)
        assert refused.value.code().name == "INVALID_ARGUMENT"
        return
    if case["code"] == "OK":
        expected = response.FromString(base64.b64decode(case["response"]))
        assert _canonical(call(message, timeout=60)) == _canonical(expected)
        return
    with pytest.raises(grpc.RpcError) as refused:
        call(message, timeout=60)
    assert refused.value.code().name == case["code"]
    assert _first_line(refused.value.details()) == _first_line(case["message"])


def _first_line(message: str) -> str:
    """The part that must agree: graph node names and the text of a SignatureDef differ from export to export."""
    return message.split("SignatureDef:")[0].split("\n")[0]


def _canonical(message) -> bytes:
    """Bytes that are equal for equal messages, NaN included; a packed SignatureDefMap is serialized anew."""
    if "metadata" in message.DESCRIPTOR.fields_by_name:
        from tensorflow_serving.apis import get_model_metadata_pb2

        for packed in message.metadata.values():
            signatures = get_model_metadata_pb2.SignatureDefMap()
            packed.Unpack(signatures)
            packed.value = signatures.SerializeToString(deterministic=True)
    return message.SerializeToString(deterministic=True)


def _messages(rpc: str):
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        model_management_pb2,
        predict_pb2,
        regression_pb2,
    )

    return {
        "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
        "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
        "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
        "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataResponse),
        "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse),
        "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, model_management_pb2.ReloadConfigResponse),
    }[rpc]

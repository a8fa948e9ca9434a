"""Classify, Regress and MultiInference: tf.Examples in, classes and scores or values out.

The signatures of this project are plain predict signatures, which these calls refuse with TensorFlow Serving's text; a
SavedModel that has classification or regression signatures is served.
"""

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, model_pb2, regression_pb2

from cxr.serving.server.batching import Call, Runner
from cxr.serving.server.errors import ServingError, invalid
from cxr.serving.server.images import check_images
from cxr.serving.server.options import Limits
from cxr.serving.server.predict import DEFAULT_SIGNATURE, Source, resolved
from cxr.serving.server.states import Version

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
_NOUN = {CLASSIFY: "classification", REGRESS: "regression"}
_OUTPUTS = {CLASSIFY: ("classes", "scores"), REGRESS: ("outputs",)}


def classify(
    request: classification_pb2.ClassificationRequest, source: Source, runner: Runner, limits: Limits, call: Call
) -> classification_pb2.ClassificationResponse:
    """Answers a Classify request; raises ServingError."""
    with source.acquire(request.model_spec) as version:
        name, signature = _signature(version, request.model_spec, "No signature was found with the name: ")
        outputs = _infer(version, name, [(signature, CLASSIFY)], request.input, runner, limits, call)
        response = classification_pb2.ClassificationResponse(model_spec=resolved(request.model_spec.name, version, name))
        _fill_classes(response.result, signature, outputs)
        return response


def regress(
    request: regression_pb2.RegressionRequest, source: Source, runner: Runner, limits: Limits, call: Call
) -> regression_pb2.RegressionResponse:
    """Answers a Regress request; raises ServingError."""
    with source.acquire(request.model_spec) as version:
        name, signature = _signature(version, request.model_spec, "No signature was found with the name: ")
        outputs = _infer(version, name, [(signature, REGRESS)], request.input, runner, limits, call)
        response = regression_pb2.RegressionResponse(model_spec=resolved(request.model_spec.name, version, name))
        _fill_values(response.result, signature, outputs)
        return response


def multi_inference(
    request: inference_pb2.MultiInferenceRequest, source: Source, runner: Runner, limits: Limits, call: Call
) -> inference_pb2.MultiInferenceResponse:
    """Answers a MultiInference request: several signatures of one model on the same examples; raises ServingError."""
    first = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
    with source.acquire(first) as version:
        chosen: dict[str, tuple[meta_graph_pb2.SignatureDef, str]] = {}
        for task in request.tasks:
            if not task.model_spec.name:
                raise invalid("Found ModelSpec with an empty model name.")
            if task.model_spec.name != first.name:
                raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
            name, signature = _signature(version, task.model_spec, "Requested signature not found in model graph: ")
            if name in chosen:
                raise invalid(f"Duplicate evaluation of signature: {name}")
            if task.method_name not in _NOUN:
                raise _unimplemented(task.method_name)
            chosen[name] = (signature, task.method_name)
        outputs = _infer(version, "+".join(chosen), list(chosen.values()), request.input, runner, limits, call)
        response = inference_pb2.MultiInferenceResponse()
        for name, (signature, method) in chosen.items():
            result = response.results.add(model_spec=resolved(first.name, version, name))
            if method == CLASSIFY:
                _fill_classes(result.classification_result, signature, outputs)
            else:
                _fill_values(result.regression_result, signature, outputs)
        return response


def examples(message: input_pb2.Input) -> list[bytes]:
    """Returns the serialized tf.Examples of an Input, each with the context's features added; raises ServingError when there are none."""
    if message.WhichOneof("kind") == "example_list_with_context":
        context = message.example_list_with_context.context.SerializeToString()
        # Two serialized messages in a row are their merge; the later one wins, and that is the example.
        found = [context + example.SerializeToString() for example in message.example_list_with_context.examples]
    else:
        found = [example.SerializeToString() for example in message.example_list.examples]
    if not found:
        raise invalid("Input is empty.")
    return found


def _signature(version: Version, spec: model_pb2.ModelSpec, missing: str) -> tuple[str, meta_graph_pb2.SignatureDef]:
    name = spec.signature_name or DEFAULT_SIGNATURE
    assert version.loaded is not None  # acquire only hands out available versions
    if name not in version.loaded.signatures:
        raise invalid(missing + name)
    return name, version.loaded.signatures[name]


def _unimplemented(method: str) -> ServingError:
    return ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")


def _check(signature: meta_graph_pb2.SignatureDef, method: str) -> tuple[str, list[str]]:
    """Returns the input tensor's name and the outputs' names of a classification or regression signature."""
    noun, text = _NOUN[method], f"goo.gle/debugonly   \n{signature}"
    if "inputs" not in signature.inputs:
        raise invalid(f"No {noun} inputs found in SignatureDef: {text}")
    found = [signature.outputs[alias].name for alias in _OUTPUTS[method] if alias in signature.outputs]
    if not found:
        wanted = " or ".join(f'"{alias}"' for alias in _OUTPUTS[method])
        raise invalid(f"Expected {noun} signature outputs to contain at least one of {wanted}. Signature was: {text}")
    return signature.inputs["inputs"].name, found


def _infer(
    version: Version,
    key: str,
    signatures: list[tuple[meta_graph_pb2.SignatureDef, str]],
    message: input_pb2.Input,
    runner: Runner,
    limits: Limits,
    call: Call,
) -> dict[str, np.ndarray]:
    """Runs the examples once through all signatures; returns the arrays by tensor name, [batch, ...] each."""
    feeds, fetches = set(), set()
    for signature, method in signatures:
        feed, outputs = _check(signature, method)
        feeds.add(feed)
        fetches.update(outputs)
    if len(feeds) > 1:
        raise invalid("Input tensor must be the same for all Signatures.")
    serialized = examples(message)
    runner.check_size(len(serialized))
    values = np.empty(len(serialized), dtype=object)
    values[:] = serialized
    check_images(values, limits.max_image_pixels, limits.max_request_pixels)
    names = sorted(fetches)
    arrays = runner.run(version, key, sorted(feeds), [values], names, call)
    for name, array in zip(names, arrays, strict=True):
        if array.ndim == 0 or len(array) != len(serialized):
            raise invalid(f"Expected output batch size of {len(serialized)}. Got: {array.shape} for {name}")
    return dict(zip(names, arrays, strict=True))


def _fill_classes(
    result: classification_pb2.ClassificationResult, signature: meta_graph_pb2.SignatureDef, arrays: dict[str, np.ndarray]
) -> None:
    classes, scores = (arrays[signature.outputs[a].name] if a in signature.outputs else None for a in _OUTPUTS[CLASSIFY])
    for array in (classes, scores):
        if array is not None and array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}")
    shape = classes.shape if classes is not None else scores.shape if scores is not None else (0, 0)
    for row in range(shape[0]):
        entry = result.classifications.add()
        for column in range(shape[1]):
            entry.classes.add(
                label=classes[row, column] if classes is not None else "", score=scores[row, column] if scores is not None else 0.0
            )


def _fill_values(result: regression_pb2.RegressionResult, signature: meta_graph_pb2.SignatureDef, arrays: dict[str, np.ndarray]) -> None:
    values = arrays[signature.outputs["outputs"].name]
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
        raise invalid(f"Expected Tensor shape: either [batch_size] or [batch_size 1] but got {list(values.shape)}")
    for value in values.ravel():
        result.regressions.add(value=value)

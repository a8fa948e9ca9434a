"""SavedModels of strangers: what reaches out of the graph is found wherever it hides, what every model needs is not."""

import re

import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from cxr.core.graph_operations import OF_THE_SAVER, REACHING_OUT, reaching_out

# Names that sound like it and do no more than compute, or do nothing without another operation that is refused.
HARMLESS = re.compile(
    "Summary|TPU|Tpu|^Print$|LookupTable(Im|Ex)port|Reader(Serialize|Restore|Reset|Num)|DecodeCSV|^Snapshot$|MemoryCache|BoostedTrees"
    "|IteratorGetModelProto|DebugGradient|DeleteRpc|RpcCheckStatus"
)


def saved(function, folder, **variables) -> meta_graph_pb2.MetaGraphDef:
    module = tf.Module()
    module.kept = list(variables.values())
    module.f = tf.function(function, input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    tf.saved_model.save(module, str(folder), signatures={"image_bytes": module.f})
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]


def inside_a_loop(x):
    return {"y": tf.map_fn(lambda one: tf.io.read_file(one), x)}


def unused(x):
    tf.io.write_file("/tmp/never", x[0])
    return {"y": x}


def into_a_file(x):
    tf.print(x, output_stream="file:///tmp/never")
    return {"y": x}


def variables_of_another(x):
    return {"y": tf.raw_ops.RestoreV2(prefix=x[0], tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]}


def over_a_data_set(x):
    return {"y": tf.data.TextLineDataset(x).reduce(tf.constant(""), lambda before, line: before + line)}


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (inside_a_loop, ["ReadFile"]),
        (unused, ["WriteFile"]),
        (into_a_file, ["PrintV2"]),
        (variables_of_another, ["RestoreV2"]),
        (over_a_data_set, ["TextLineDataset"]),
        (lambda x: {"y": tf.py_function(lambda value: value, [x], tf.string)}, ["EagerPyFunc"]),
        (lambda x: {"y": tf.numpy_function(lambda value: value, [x], tf.string)}, ["PyFunc"]),
    ],
)
def test_what_reaches_out_is_found(tmp_path, function, found):
    assert reaching_out(saved(function, tmp_path)) == found


def test_a_model_with_variables_only_computes(tmp_path):
    weight = tf.Variable(2.0)
    graph = saved(lambda x: {"y": weight * tf.cast(tf.strings.length(x), tf.float32)}, tmp_path, weight=weight)
    assert {"SaveV2", "RestoreV2"} <= {node.op for function in graph.graph_def.library.function for node in function.node_def}
    assert reaching_out(graph) == []


def test_a_function_that_only_an_initializer_calls_is_looked_at_too(tmp_path):
    """`tf.saved_model.load` runs those."""
    graph = saved(lambda x: {"y": x}, tmp_path)
    hidden = graph.graph_def.library.function.add()
    hidden.signature.name = "initializer"
    hidden.node_def.add(name="w", op="SaveV2")
    assert reaching_out(graph) == ["SaveV2"]


def test_an_initializer_that_is_the_savers_own_function_is_found(tmp_path):
    weight = tf.Variable(2.0)
    graph = saved(lambda x: {"y": x}, tmp_path, weight=weight)
    (saver,) = (body for body in graph.graph_def.library.function if any(node.op == "SaveV2" for node in body.node_def))
    assert reaching_out(graph) == []
    graph.object_graph_def.nodes.add().bare_concrete_function.concrete_function_name = saver.signature.name
    assert "SaveV2" in reaching_out(graph)


@pytest.mark.parametrize(
    ("end", "found"),
    [("main", ["MergeV2Checkpoints", "RestoreV2", "SaveV2"]), ("restore", ["MergeV2Checkpoints", "SaveV2"]), ("nothing", [])],
)
def test_what_runs_while_a_model_is_loaded_is_looked_at_too(end, found):
    """TensorFlow 1's initializer, and what the saver is said to restore with: either could write any file."""
    graph = meta_graph_pb2.MetaGraphDef()
    for name, operation, *inputs in (
        ("write", "SaveV2"),
        ("merge", "MergeV2Checkpoints", "^write"),
        ("read", "RestoreV2", "^merge"),
        ("end", "NoOp", "^read"),
    ):
        graph.graph_def.node.add(name=name, op=operation, input=inputs)
    graph.saver_def.save_tensor_name = "merge:0"
    if end == "main":
        graph.collection_def["saved_model_main_op"].node_list.value.append("end")
    elif end == "restore":
        graph.saver_def.restore_op_name = "end"
    assert reaching_out(graph) == found


def test_every_operation_of_this_release_that_sounds_like_it_was_looked_at():
    listed = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    names = {operation.name for operation in listed.op}
    assert names >= REACHING_OUT | OF_THE_SAVER
    suspicious = re.compile(
        "File|Reader|Writer|Disk|Sql|LMDB|Proto|Py_?Func|Debug|Rpc|Remote|DataService|Snapshot|Checkpoint|^Save|Restore|Record|Memory|CSV|Summary"
        "|Print|Abort|Import|Export|^Load|TextLine"
    )
    new = {name for name in names if suspicious.search(name)} - REACHING_OUT - OF_THE_SAVER
    assert {name for name in new if not HARMLESS.search(name)} == set()

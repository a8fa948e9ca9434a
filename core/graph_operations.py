"""Looks at the graph of a SavedModel before it is loaded: TensorFlow runs what stands in it, and some of it reaches beyond the graph.

Works on the messages, so that neither TensorFlow nor a server is needed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

# Of TensorFlow's operations those that run Python, read, write or delete files, open connections, or end or hold up the process.
# tests/core/test_graph_operations.py looks for such names among all that the installed release registers.
REACHING_OUT = frozenset(
    """
    PyFunc PyFuncStateless EagerPyFunc Abort PrintV2
    ReadFile WriteFile MatchingFiles WholeFileReader WholeFileReaderV2 TextLineReader TextLineReaderV2 TFRecordReader TFRecordReaderV2
    FixedLengthRecordReader FixedLengthRecordReaderV2 IdentityReader IdentityReaderV2 LMDBReader ReaderRead ReaderReadV2 ReaderReadUpTo
    ReaderReadUpToV2 ImmutableConst DecodeProtoV2 EncodeProto GenerateVocabRemapping LoadAndRemapMatrix RecordInput
    TextLineDataset TFRecordDataset TFRecordDatasetV2 FixedLengthRecordDataset FixedLengthRecordDatasetV2 MatchingFilesDataset
    ExperimentalMatchingFilesDataset SqlDataset ExperimentalSqlDataset LMDBDataset ExperimentalLMDBDataset CSVDataset CSVDatasetV2
    ExperimentalCSVDataset SaveDataset SaveDatasetV2 LoadDataset SnapshotDataset SnapshotDatasetV2 SnapshotDatasetReader
    SnapshotNestedDatasetReader SnapshotChunkDataset ListSnapshotChunksDataset DistributedSave DatasetToTFRecord
    ExperimentalDatasetToTFRecord CacheDataset CacheDatasetV2 FileSystemSetConfiguration DTensorRestoreV2
    DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 RegisterDataset RegisterDatasetV2
    CreateSummaryFileWriter CreateSummaryDbWriter SummaryWriter ImportEvent InitializeTableFromTextFile InitializeTableFromTextFileV2
    DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary DebugNumericSummaryV2
    RemoteCall RpcCall RpcClient RpcGetValue RpcServer RpcServerRegister RpcServerStart ConfigureDistributedTPU
    """.split()  # noqa: SIM905
)
# What every SavedModel has, to restore its variables: in the functions that its saver calls, and nowhere else.
OF_THE_SAVER = frozenset(
    ("Save", "SaveSlices", "SaveV2", "Restore", "RestoreSlice", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec")
)
_NAMING_ONLY = frozenset(("ShardedFilename", "ShardedFilespec"))  # make strings
_SAVING = frozenset(("Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints"))  # nothing that loading should do
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")  # where TensorFlow 1 keeps what runs once a model is loaded


def refusal(meta_graphs: Iterable[Any]) -> str | None:
    """Returns why a SavedModel should not be loaded; None where its graphs only compute.

    Args:
      meta_graphs: All of its MetaGraphDefs.
    """
    found = sorted({operation for meta_graph in meta_graphs for operation in reaching_out(meta_graph)})
    if not found:
        return None
    return (
        f"its graph holds {', '.join(found)}: it would do more than compute (files, connections, Python), as no model of this pipeline does"
    )


def reaching_out(meta_graph: Any) -> list[str]:
    """Returns the operations of a graph, its functions included, that do more than compute; sorted, empty where it only computes.

    Those of the saver count only where something else than the saver gets at them, or where restoring would save.

    Args:
      meta_graph: A MetaGraphDef.
    """
    functions = {function.signature.name: list(function.node_def) for function in meta_graph.graph_def.library.function}
    nodes, saver = list(meta_graph.graph_def.node), meta_graph.saver_def
    everywhere = {node.op for body in (nodes, *functions.values()) for node in body}
    saving = _reached(_calls(_of_saver(nodes, saver)), functions)
    callable_too = _reached(_of_objects(meta_graph.object_graph_def), functions)
    others = (body for name, body in functions.items() if name not in saving or name in callable_too)
    hidden = {node.op for body in others for node in body} | _operations(_entry_nodes(meta_graph), nodes, functions)
    restoring = _operations({_node(saver.restore_op_name)}, nodes, functions)
    return sorted((everywhere & REACHING_OUT) | (hidden & (OF_THE_SAVER - _NAMING_ONLY)) | (restoring & _SAVING))


def _of_saver(nodes: Iterable[Any], saver: Any) -> list[Any]:
    """The nodes by which the saver is told to save and to restore."""
    names = {_node(name) for name in (saver.save_tensor_name, saver.restore_op_name, saver.filename_tensor_name) if name}
    return [node for node in nodes if node.name in names]


def _of_objects(objects: Any) -> set[str]:
    """The functions that `tf.saved_model.load` makes methods and initializers of."""
    return {
        name for node in objects.nodes for name in (*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name)
    }


def _entry_nodes(meta_graph: Any) -> set[str]:
    """The nodes that are run: those of the signatures, and what initialises the model."""
    tensors = (
        tensor.name
        for signature in meta_graph.signature_def.values()
        for tensor in (*signature.outputs.values(), *signature.inputs.values())
    )
    initial = (
        name for key in _INIT_COLLECTIONS if key in meta_graph.collection_def for name in meta_graph.collection_def[key].node_list.value
    )
    return {_node(name) for name in (*tensors, *initial)}


def _operations(names: set[str], nodes: Iterable[Any], functions: dict[str, list[Any]]) -> set[str]:
    """Returns the operations of these nodes, of all that they wait for, and of the functions that those call."""
    waited_for = list(_before(nodes, names))
    called = (functions[name] for name in _reached(_calls(waited_for), functions))
    return {node.op for body in (waited_for, *called) for node in body}


def _before(nodes: Iterable[Any], names: set[str]) -> Iterator[Any]:
    """Yields these nodes and all that they wait for."""
    known = {node.name: node for node in nodes}
    waiting, seen = list(names), set(names)
    while waiting:
        node = known.get(waiting.pop())
        if node is None:
            continue
        yield node
        more = {_node(name) for name in node.input} - seen
        seen |= more
        waiting += more


def _reached(names: set[str], functions: dict[str, list[Any]]) -> set[str]:
    """Returns the functions that these names lead to."""
    waiting, seen = [name for name in names if name in functions], set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [called for called in _calls(functions[name]) if called in functions]
    return seen


def _calls(nodes: Iterable[Any]) -> set[str]:
    found = set()
    for node in nodes:
        found.add(node.op)
        for value in node.attr.values():
            found |= {value.func.name} if value.HasField("func") else {function.name for function in value.list.func}
    return found


def _node(name: str) -> str:
    """Returns the node's name of a tensor (`x:0`) or of a control input (`^x`)."""
    return name.removeprefix("^").partition(":")[0]

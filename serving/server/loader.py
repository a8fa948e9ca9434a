"""One loaded SavedModel version: the TF1 session loader and callables for its signatures.

TensorFlow Serving loads through the C++ twin of this loader. `tf.saved_model.load` would hide the export fault that
shows as "Could not find variable" there, so it is not used here.
"""

import inspect
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from cxr.core.graph_operations import refusal
from cxr.core.places import SAVED_MODEL
from cxr.serving.server import xla
from cxr.serving.server.errors import ServingError, invalid, not_found, precondition

TAGS = ("serve",)
# TensorFlow's function itself: around it is one that logs, at the first start, that it is deprecated (see above why it is used).
_LOAD = inspect.unwrap(tf.compat.v1.saved_model.loader.load)
_AGAIN = "push the version again under a higher number, whole"
MAX_CALLABLES = 64  # per version; more than one per signature only when clients use output_filter


class LoadedModel:
    """A session with a restored SavedModel.

    Attributes:
      signatures: SignatureDef by name, as stored in the SavedModel (with `__saved_model_init_op`).
    """

    def __init__(self, path: Path, intra_op_threads: int = 0, inter_op_threads: int = 0, *, unchecked: bool = False):
        """Loads the SavedModel and runs its initialisers.

        Args:
          path: folder with saved_model.pb.
          intra_op_threads: threads inside an operation; 0 leaves them to TensorFlow.
          inter_op_threads: threads between operations; the same.
          unchecked: load it whatever its operations do.

        Raises:
          ServingError: OUT_OF_RANGE, NOT_FOUND, a damaged SavedModel, or parts of it are missing; FAILED_PRECONDITION, its graph would do
            more than compute.
          OSError, tf.errors.OpError, RuntimeError, ValueError: no SavedModel, or one that TensorFlow refuses.
        """
        saved = _read(path)
        if not unchecked:
            _refuse_reaching_out(path, saved)
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads, inter_op_parallelism_threads=inter_op_threads, allow_soft_placement=True
        )
        config.gpu_options.allow_growth = True  # two versions live side by side during a swap
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta_graph: meta_graph_pb2.MetaGraphDef = _LOAD(self._session, TAGS, str(path))
        except BaseException:
            self._session.close()
            raise
        self._compiled = xla.compiled_functions(meta_graph.graph_def.library)
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta_graph.signature_def)
        self._callables: OrderedDict[tuple[tuple[str, ...], tuple[str, ...]], object] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, feeds: Sequence[str], values: Sequence[np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Runs part of the graph.

        Args:
          feeds: tensor names.
          values: one array per feed; dtypes must be those of the graph (the low-level callable casts nothing).
          fetches: tensor names.

        Returns:
          One array per fetch.

        Raises:
          tf.errors.OpError: an operation failed.
          ServingError: INTERNAL, TensorFlow Serving could not run it; INVALID_ARGUMENT, an operation refused an input that is no text.
        """
        try:
            return self._callable(tuple(feeds), tuple(fetches))(*values)  # type: ignore[operator]
        except UnicodeDecodeError as error:  # of TensorFlow's Python layer: its status quotes bytes of the input that are no UTF-8
            text = error.object.decode(errors="replace")
        raise invalid(text)  # outside of the handler: nobody finds the bytes in its context

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> object:
        key = (feeds, fetches)
        with self._lock:
            found = self._callables.get(key)
            if found is None:
                if xla.reaches(self._session.graph, fetches, self._compiled):
                    raise ServingError(grpc.StatusCode.INTERNAL, xla.MESSAGE)
                found = self._session._make_callable_from_options(config_pb2.CallableOptions(feed=feeds, fetch=fetches))
                self._callables[key] = found
                if len(self._callables) > MAX_CALLABLES:
                    self._callables.popitem(last=False)  # released once no request runs it
            else:
                self._callables.move_to_end(key)
            return found

    def close(self) -> None:
        """Frees the session; nothing may run in it any more."""
        with self._lock:
            self._callables.clear()
        self._session.close()


def _read(path: Path) -> saved_model_pb2.SavedModel | None:
    """Returns what is in saved_model.pb; None without that file: other forms are left to TensorFlow's reader, which says what they lack.

    What Python's loader has no code for, and names the folder of to every client, is refused with the code of TensorFlow Serving's loader.
    """
    file = path / SAVED_MODEL
    if not file.is_file():
        return None
    try:
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except DecodeError:
        # OUT_OF_RANGE and these first words are what TensorFlow Serving has for a file that ends too early, and not DATA_LOSS.
        text = f"Read less bytes than requested: {SAVED_MODEL} is damaged or cut short; {_AGAIN}"
        raise ServingError(grpc.StatusCode.OUT_OF_RANGE, text) from None
    if not any(set(graph.meta_info_def.tags) == set(TAGS) for graph in saved.meta_graphs):
        raise not_found(
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(TAGS)} }}. To inspect available tag-sets in the "
            "SavedModel, please use the SavedModel CLI: `saved_model_cli`"
        )
    index = f"{tf.saved_model.VARIABLES_DIRECTORY}/{tf.saved_model.VARIABLES_FILENAME}.index"
    if any(graph.HasField("saver_def") for graph in saved.meta_graphs) and not (path / index).is_file():
        # TensorFlow Serving would load it, and fail in each request, as a variable has no value.
        raise not_found(f"{index} is missing; {_AGAIN}")
    return saved


def _refuse_reaching_out(path: Path, saved: saved_model_pb2.SavedModel | None) -> None:
    """Refuses a SavedModel whose graph would do more than compute."""
    remedy = "if it is your own, serve it with --unchecked-models"
    if saved is not None:
        if reason := refusal(saved.meta_graphs):
            raise precondition(f"{reason}; {remedy}")
    elif others := [other.name for other in path.glob("saved_model.*") if other.name != SAVED_MODEL]:
        raise precondition(f"{', '.join(others)} in place of {SAVED_MODEL} cannot be checked; {remedy}")

"""TensorFlow's own C++ loader, driven through its C interface: what TensorFlow Serving calls, with no Python below it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

_STRING, _STRING_BYTES = 7, 24  # TF_STRING, and the size of a TF_TString


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p))


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"))
    for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel", "TF_GraphOperationByName"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("TF_AllocateTensor", "TF_TensorData"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("TF_Message", "TF_StringGetDataPointer"):
        getattr(library, name).restype = ctypes.c_char_p if name == "TF_Message" else ctypes.c_void_p
    library.TF_StringGetSize.restype = ctypes.c_size_t
    library.TF_Dim.restype = ctypes.c_int64
    return library


class CppSession:
    """A SavedModel as the C++ loader reads it."""

    def __init__(self, folder: str) -> None:
        self._library = library = _library()
        self._status = ctypes.c_void_p(library.TF_NewStatus())
        self._graph = ctypes.c_void_p(library.TF_NewGraph())
        tags, meta = (ctypes.c_char_p * 1)(b"serve"), _Buffer()
        options = ctypes.c_void_p(library.TF_NewSessionOptions())
        session = library.TF_LoadSessionFromSavedModel(
            options, None, folder.encode(), tags, 1, self._graph, ctypes.byref(meta), self._status
        )
        self._check()
        self._session = ctypes.c_void_p(session)
        self.signatures = meta_graph_pb2.MetaGraphDef.FromString(ctypes.string_at(meta.data, meta.length)).signature_def

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers a request; raises RuntimeError with the code and the text of what went wrong."""
        found = self.signatures[signature]
        names = list(found.outputs)
        feeds = (_Output * len(inputs))(*(self._place(found.inputs[key].name) for key in inputs))
        values = (ctypes.c_void_p * len(inputs))(*(self._tensor(value) for value in inputs.values()))
        fetches = (_Output * len(names))(*(self._place(found.outputs[name].name) for name in names))
        results = (ctypes.c_void_p * len(names))()
        self._library.TF_SessionRun(
            self._session, None, feeds, values, len(inputs), fetches, results, len(names), None, 0, None, self._status
        )
        self._check()
        return {name: self._array(ctypes.c_void_p(result)) for name, result in zip(names, results, strict=True)}

    def _check(self) -> None:
        if code := self._library.TF_GetCode(self._status):
            raise RuntimeError(f"{code}: {self._library.TF_Message(self._status).decode()}")

    def _place(self, tensor: str) -> _Output:
        operation, _, index = tensor.partition(":")
        return _Output(self._library.TF_GraphOperationByName(self._graph, operation.encode()), int(index))

    def _tensor(self, value: np.ndarray) -> int:
        strings = value.dtype == object
        shape = (ctypes.c_int64 * value.ndim)(*value.shape)
        size = value.size * _STRING_BYTES if strings else value.nbytes
        number = _STRING if strings else tf.dtypes.as_dtype(value.dtype).as_datatype_enum
        tensor = self._library.TF_AllocateTensor(number, shape, value.ndim, ctypes.c_size_t(size))
        start = self._library.TF_TensorData(ctypes.c_void_p(tensor))
        if not strings:
            ctypes.memmove(start, np.ascontiguousarray(value).ctypes.data, value.nbytes)
        for position, text in enumerate(value.ravel().tolist() if strings else []):
            cell = ctypes.c_void_p(start + position * _STRING_BYTES)
            self._library.TF_StringInit(cell)
            self._library.TF_StringCopy(cell, text, ctypes.c_size_t(len(text)))
        return tensor

    def _array(self, tensor: ctypes.c_void_p) -> np.ndarray:
        library = self._library
        shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
        number, start = library.TF_TensorType(tensor), library.TF_TensorData(tensor)
        count = int(np.prod(shape))
        if number == _STRING:
            cells = [ctypes.c_void_p(start + position * _STRING_BYTES) for position in range(count)]
            texts = [ctypes.string_at(library.TF_StringGetDataPointer(cell), library.TF_StringGetSize(cell)) for cell in cells]
            return np.array(texts, object).reshape(shape)
        dtype = np.dtype(tf.dtypes.as_dtype(number).as_numpy_dtype)
        return np.frombuffer(ctypes.string_at(start, count * dtype.itemsize), dtype).reshape(shape)

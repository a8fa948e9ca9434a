"""The embedded model server: TensorFlow Serving's wire protocol and behaviour, without its binary and without Keras.

`from cxr.serving.server import Server` imports TensorFlow (seconds); the package itself, `options` and `process` do not.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr.serving.server.app import Server

__all__ = ["Server"]


def __getattr__(name: str) -> Any:
    if name == "Server":
        from cxr.serving.server.tensorflow_log import leave_warnings_out

        leave_warnings_out()
        from cxr.serving.server.app import Server

        return Server
    raise AttributeError(name)

"""The one error type of the server: a gRPC status code and TensorFlow Serving's text for it."""

import grpc

MAX_MESSAGE = 1024  # characters; TensorFlow Serving cuts there
_PYTHON_PREFIX = "Graph execution error:\n\n"
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """An answer that is not OK.

    Attributes:
      code: gRPC status code.
      message: text for the client, cut at MAX_MESSAGE characters as TensorFlow Serving does.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        self.code = code
        self.message = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "...TRUNCATED"
        super().__init__(self.message)


def invalid(message: str) -> ServingError:
    """Returns an INVALID_ARGUMENT error."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """Returns a NOT_FOUND error."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def precondition(message: str) -> ServingError:
    """Returns a FAILED_PRECONDITION error."""
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)


def from_exception(error: BaseException) -> ServingError:
    """Returns what a client is told about an exception raised below a request or a load.

    Errors of TensorFlow operations (anything with `error_code` and `message`) keep their code and text, without the prefix that Python
    puts before it when a SavedModel's variables are restored.
    """
    if isinstance(error, ServingError):
        return error
    number = getattr(error, "error_code", None)
    if isinstance(number, int) and number in _BY_NUMBER:
        return ServingError(_BY_NUMBER[number], str(getattr(error, "message", error)).removeprefix(_PYTHON_PREFIX))
    if isinstance(error, MemoryError):
        return ServingError(grpc.StatusCode.UNAVAILABLE, "Out of memory; try again later")
    return ServingError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

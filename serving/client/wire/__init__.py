"""Messages of TensorFlow Serving's protocol without TensorFlow; cxr_serving.proto says why and how."""

from cxr.serving.client.wire import cxr_serving_pb2 as messages

__all__ = ["messages"]

"""Requests for a speed test: the same pictures as encoded bytes and as float tensors of that size.

The tensors lack the model's preprocessing, which `image_tensor` expects to have been done: they cost what right ones cost, and their
answers mean nothing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cxr.core import features
from cxr.serving.client.errors import SignatureMismatch
from cxr.serving.client.inputs import encoded, find_images
from cxr.serving.client.models import Metadata, Target
from cxr.serving.client.tensors import from_bytes, from_floats
from cxr.serving.client.wire import messages

SYNTHETIC, SYNTHETIC_SIDE = 8, 512  # pictures made up where none are given, and their height and width
MOST_IMAGES = 256  # that a test keeps in memory
PAYLOADS = (features.SIGNATURE_BYTES, features.SIGNATURE_TENSOR)


@dataclass(frozen=True)
class Payload:
    """Ready requests of one signature; a test goes through them in turn.

    Attributes:
      signature: one of PAYLOADS.
      requests: built once, so that a test measures the server and not the building of messages.
      bytes_per_image: mean of what one image costs on the wire.
    """

    signature: str
    requests: tuple[messages.PredictRequest, ...]
    bytes_per_image: float


def pictures(folder: Path | None) -> list[bytes]:
    """Returns encoded images: those of a folder (at most MOST_IMAGES), or smooth made-up ones of a radiograph's file size.

    Raises:
      CxrError: the folder holds no image, or one cannot be read.
    """
    if folder is not None:
        return [encoded(path) for path in find_images([folder])[:MOST_IMAGES]]
    random = np.random.default_rng(0)
    coarse = random.integers(30, 220, (SYNTHETIC, 16, 16), np.uint8)
    return [_jpeg(Image.fromarray(grid).resize((SYNTHETIC_SIDE, SYNTHETIC_SIDE), Image.Resampling.BICUBIC)) for grid in coarse]


def payload(signature: str, images: Sequence[bytes], batch_size: int, target: Target, metadata: Metadata) -> Payload:
    """Builds the requests.

    Args:
      signature: one of PAYLOADS.
      images: JPEG or PNG.
      batch_size: images per request; the list is gone through in circles.
      target: model and version.
      metadata: of the model; its image_tensor signature gives height and width.

    Raises:
      SignatureMismatch: the model lacks the signature.
    """
    if signature not in metadata.signatures:
        raise SignatureMismatch(f"{target}: has no signature {signature!r}, only {sorted(metadata.signatures)}; choose another --payload")
    if signature == features.SIGNATURE_TENSOR:
        side = _side(metadata, target)
        arrays = [_as_tensor(image, side) for image in images]
    groups = [[i % len(images) for i in range(at, at + batch_size)] for at in range(0, len(images), batch_size)]
    requests = []
    for group in groups:
        request = messages.PredictRequest(model_spec=target.spec(signature), output_filter=[features.PROBABILITIES])
        if signature == features.SIGNATURE_TENSOR:
            request.inputs[features.IMAGE_TENSOR].CopyFrom(from_floats(np.stack([arrays[i] for i in group])))
        else:
            request.inputs[features.SIGNATURE_BYTES].CopyFrom(from_bytes([images[i] for i in group]))
        requests.append(request)
    total = sum(request.ByteSize() for request in requests)
    return Payload(signature, tuple(requests), total / (len(groups) * batch_size))


def _side(metadata: Metadata, target: Target) -> tuple[int, int]:
    spec = metadata.signatures[features.SIGNATURE_TENSOR].inputs.get(features.IMAGE_TENSOR)
    if spec is None or spec.shape is None or len(spec.shape) != 4 or spec.shape[1] is None or spec.shape[2] is None:
        raise SignatureMismatch(f"{target}: signature {features.SIGNATURE_TENSOR!r} does not take [batch, height, width, 3]: {spec}")
    return spec.shape[1], spec.shape[2]


def _as_tensor(image: bytes, side: tuple[int, int]) -> np.ndarray:
    height, width = side
    picture = Image.open(io.BytesIO(image)).convert("RGB").resize((width, height))
    return np.asarray(picture, np.float32) / 255.0


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()

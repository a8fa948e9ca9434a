"""What a backbone starts from: ImageNet weights (Keras's cache or download), files of a folder, or chance."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from cxr.core import fingerprints
from cxr.core.errors import CxrError
from cxr.trainer.model_config import IMAGENET, NONE, WITHOUT_FOLDER, Model
from cxr.trainer.models.backbones import LAYER, Backbone, all_layers, build, find

NETWORK_SECONDS = 10  # without an answer from the network there is none


@dataclass(frozen=True)
class Weighted:
    """A backbone with its weights."""

    network: keras.Model
    note: str  # what it really started from, for people
    random: bool


def load_backbone(config: Model, backbone: Backbone, size: int) -> Weighted:
    """Builds the configured backbone with the weights it asks for.

    Args:
      config: Its `weights`, `imagenet_rescaling` and `allow_random_weights`.
      backbone: Which one.
      size: Height and width of its input, pixels.

    Raises:
      CxrError: The weights cannot be had and the configuration does not allow to go on without them, or they do not fit.
    """
    network = build(backbone, size)
    if config.weights == NONE:
        return Weighted(network, "random weights", random=True)
    try:
        if config.weights == IMAGENET:
            copy_weights(_imagenet(backbone, size), network)
            note = "ImageNet weights"
        else:
            file = _file_in(Path(config.weights).expanduser(), backbone)
            _load(file, network, backbone)
            note = f"weights of {file.name}"
            if file.suffix == ".keras":
                return Weighted(network, note, random=False)
    except WeightsMissing as error:
        if not config.allow_random_weights:
            raise
        return Weighted(network, f"random weights (asked for {config.weights}: {error.reason})", random=True)
    if config.imagenet_rescaling:
        _rescale_as_imagenet(network, backbone)
    return Weighted(network, note, random=False)


def weights_version(config: Model) -> str:
    """Tells what `load_backbone` would load, by content: for a cache, which must not outlive another file at the same path.

    Returns:
      A short hash of the file, or "absent"; "" where no weights are asked for.

    Raises:
      CxrError: No such backbone.
    """
    if config.weights == NONE:
        return ""
    backbone = find(config.backbone)
    try:
        folder = Path(config.weights).expanduser()
        file = cache_folder() / backbone.weights_file if config.weights == IMAGENET else _file_in(folder, backbone)
        return fingerprints.of_file(file)[:12]
    except (OSError, WeightsMissing):
        return "absent"


def check_folder(config: Model) -> None:
    """Looks for the weights that a folder is to hold, before work is done for nothing.

    Raises:
      WeightsMissing: It has none, and the configuration does not allow to go on without them.
    """
    if config.weights not in WITHOUT_FOLDER and not config.allow_random_weights:
        _file_in(Path(config.weights).expanduser(), find(config.backbone))


class WeightsMissing(CxrError):
    """The weights asked for cannot be had."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}")
        self.reason = reason


def cache_folder() -> Path:
    """Returns the folder in which Keras keeps the weights that it downloads."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def _imagenet(backbone: Backbone, size: int) -> keras.Model:
    try:
        with _network_timeout():
            return backbone.constructor(include_top=False, weights=IMAGENET, input_shape=(size, size, 3))
    except Exception as error:  # Keras raises a bare Exception where a download fails
        file = cache_folder() / backbone.weights_file
        raise WeightsMissing(
            f"{backbone.name}: {backbone.weights_file} is missing from Keras's cache or damaged, and cannot be downloaded",
            f"It was looked for at {file}; the download said: {error}. Remedy: on a machine with network, run "
            f"`python -c 'import keras; keras.applications.{backbone.name}(include_top=False, "
            f"input_shape=({backbone.native_size}, {backbone.native_size}, 3))'` and copy {backbone.weights_file} from its ~/.keras/models "
            f"to {file.parent}, or to a folder that `weights` then names; or set `weights: none`, or `allow_random_weights: true`.",
        ) from error


@contextlib.contextmanager
def _network_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _file_in(folder: Path, backbone: Backbone) -> Path:
    name = backbone.name.lower()
    wanted = (backbone.weights_file, f"{name}_notop.weights.h5", f"{name}.weights.h5", f"{name}.keras")
    for file in wanted:
        if (folder / file).is_file():
            return folder / file
    names, there = ", ".join(wanted), folder.is_dir()
    raise WeightsMissing(
        f"{backbone.name}: {folder} {f'holds none of {names}' if there else 'is no folder'}",
        f"Remedy: put one of {'these files' if there else names} there (Keras keeps its own in ~/.keras/models), "
        f"or set `weights` to {IMAGENET} or {NONE}.",
    )


def _load(file: Path, network: keras.Model, backbone: Backbone) -> None:
    try:
        if file.suffix == ".keras":
            saved = keras.saving.load_model(file, compile=False, safe_mode=True)
            inner = next((layer for layer in saved.layers if layer.name == LAYER), saved)
            copy_weights(inner, network)
            _divide_variance(network, _rescaling_of(inner))
        else:
            network.load_weights(file)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise CxrError(f"{file}: holds no weights of {backbone.name} without its top layers: {error}") from error


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Gives one model the weights of another of the same layers.

    Raises:
      ValueError: The layers differ.
    """
    target.set_weights(source.get_weights())
    _finalize(target)


def _finalize(network: keras.Model) -> None:
    # Normalization derives what it computes with from its weights, and set_weights does not tell it.
    for layer in all_layers(network):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _rescale_as_imagenet(network: keras.Model, backbone: Backbone) -> None:
    """Does what Keras does for the first EfficientNets when it loads their ImageNet weights itself.

    Their original divides by the variance, not by the standard deviation. Keras makes up for it with one more Rescaling by
    1 / sqrt(std), but only in networks built with weights="imagenet".
    """
    if backbone.constructor.__module__.endswith(".efficientnet"):
        std = np.array(sys.modules[backbone.constructor.__module__].IMAGENET_STDDEV_RGB)
        _divide_variance(network, 1 / np.sqrt(std))


def _rescaling_of(network: keras.Model) -> np.ndarray:
    """The factor of a Rescaling that follows the Normalization of a saved network; 1 where there is none."""
    for layer, following in itertools.pairwise(network.layers):
        if isinstance(layer, keras.layers.Normalization) and isinstance(following, keras.layers.Rescaling):
            return np.asarray(following.scale)
    return np.ones(1)


def _divide_variance(network: keras.Model, factor: np.ndarray) -> None:
    """Lets the Normalization layer do what a Rescaling after it would: its divisor sqrt(variance) becomes sqrt(variance) / factor.

    A weight travels with every copy of the network; a layer that only some ways of building it have does not.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt_variance.assign(np.asarray(layer.adapt_variance) / np.square(factor))
            layer.finalize_state()

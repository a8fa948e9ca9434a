"""Networks for tests: real layers, little work."""

import operator
from collections.abc import Callable
from typing import Any

import keras

LIKE_THE_ONE_BEFORE = {3, 5, 7, 8, 9, 10, 11}  # MobileNet's blocks that change neither size nor width


def shrink_mobilenet(set_attribute: Callable[..., Any], set_item: Callable[..., Any]) -> None:
    """Puts a MobileNet at a quarter of its width, with half of its blocks, in its own place, by what sets attributes and items."""
    whole = keras.applications.MobileNet
    block = whole.__globals__["_depthwise_conv_block"]

    def first_of_its_size(inputs: Any, *arguments: Any, block_id: int, **more: Any) -> Any:
        return inputs if block_id in LIKE_THE_ONE_BEFORE else block(inputs, *arguments, block_id=block_id, **more)

    def narrow(**arguments: Any) -> keras.Model:
        return whole(alpha=0.25, **arguments)

    narrow.__module__ = whole.__module__
    set_item(whole.__globals__, "_depthwise_conv_block", first_of_its_size)
    set_attribute(keras.applications, "MobileNet", narrow)


def shrink_efficientnet(set_item: Callable[..., Any]) -> None:
    """Leaves EfficientNets the first two of their seven kinds of blocks: scaling and normalisation of pixels, gates and a sum are there."""
    blocks = keras.applications.EfficientNetB0.__globals__["DEFAULT_BLOCKS_ARGS"]
    set_item(keras.applications.EfficientNetB0.__globals__, "DEFAULT_BLOCKS_ARGS", blocks[:2])


def with_small_mobilenet(call: Callable[..., Any], *arguments: Any) -> None:
    """Calls something with that network in MobileNet's place; for processes, in which it stays there."""
    shrink_mobilenet(setattr, operator.setitem)
    call(*arguments)

"""The same computation has the same digest, whatever the process traced before."""

import tensorflow as tf

from cxr.trainer.graph_digest import digest


def made(factor=2.0, limit=3, before=0):
    """The graph of a function with a loop and a branch, that was traced after others."""
    for _ in range(before):
        tf.function(lambda x: tf.while_loop(lambda y: y < 1, lambda y: y + 1, [x]))(tf.constant(0.0))

    @tf.function(autograph=False)
    def compute(x):
        return tf.while_loop(
            lambda step, _: step < limit,
            lambda step, y: (step + 1, tf.cond(y > 0, lambda: factor * y, lambda: y)),
            [tf.constant(0), x],
        )[1]

    return compute.get_concrete_function(tf.TensorSpec([])).graph.as_graph_def()


def test_digest():
    first = digest(made())
    assert digest(made(before=3)) == first
    assert digest(made(factor=2.5)) != first  # a constant in a branch of a loop
    assert digest(made(limit=4)) != first

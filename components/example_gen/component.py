"""TFX's ImportExampleGen with an executor that copies shards, and a driver that knows them by their content."""

from tfx import v1 as tfx
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from cxr.components.example_gen.driver import Driver
from cxr.components.example_gen.executor import Executor


class ImportExampleGen(tfx.components.ImportExampleGen):
    """Makes the examples of a run from the splits of a folder; outputs are TFX's."""

    DRIVER_CLASS = Driver
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, input_base: str, input_config: example_gen_pb2.Input) -> None:
        """Makes the node.

        Args:
          input_base: URI of the folder.
          input_config: Splits and the patterns of their files, gzip-compressed TFRecords of tf.Examples. The examples have the same splits.
        """
        super().__init__(input_base=input_base, input_config=input_config, output_config=example_gen_pb2.Output())

"""Tells ImportExampleGen on this machine whether the records are still the same: by their content.

TFX's driver knows sizes and times, in whole seconds: records that were touched or restored were new to the cache, and every network was
trained once more; files that were replaced by others as long, within the second, were the same. The folder's path is in the cache's key as
well: `cxr run` gives all runs the same one (`Workspace.point_records_at`). On Kubeflow this driver does not run: the cache there has the
content's hash from `cxr.kubeflow.fingerprint`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tfx.components.example_gen import driver, input_processor
from tfx.proto import example_gen_pb2, range_config_pb2

from cxr.core import fingerprints


class InputProcessor(input_processor.FileBasedInputProcessor):
    """TFX's, with a fingerprint of what the files hold."""

    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        """Returns a line for each split: its name and a hash over the names and contents of its files.

        All files are read. Their folder's name and their times do not count.

        Args:
          span: Of TFX's patterns; ours have none, and name all files of a folder.
          version: The same.

        Raises:
          OSError: A file cannot be read.
        """
        of_splits = {split.name: Path(self._input_base_uri, split.pattern).parent for split in self._splits}
        return "\n".join(f"split:{name},sha256:{fingerprints.of_folder(folder)}" for name, folder in of_splits.items())


class Driver(driver.FileBasedDriver):
    """TFX's, with the input processor above."""

    def get_input_processor(
        self,
        splits: Iterable[example_gen_pb2.Input.Split],
        range_config: range_config_pb2.RangeConfig | None = None,
        input_base_uri: str | None = None,
    ) -> InputProcessor:
        """Returns the input processor of a local folder."""
        return InputProcessor(input_base_uri, splits, range_config)

"""ML Metadata's store, which loses no execution of a context."""

from __future__ import annotations

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

_BY_NUMBER = metadata_store.ListOptions(order_by=metadata_store.OrderByField.ID, is_asc=False)


class MetadataStore(metadata_store.MetadataStore):
    """ML Metadata's, whose executions of a context come by number, the newest first.

    They come in pages of 100. By time, which is ML Metadata's default, the next page has only executions whose time is earlier *and* whose
    number is lower than the last one's. Where the clock was set back, numbers rise while times fall: such executions are on no page, and
    TFX finds no inputs for a node whose makers have just ended.
    """

    def get_executions_by_context(
        self,
        context_id: int,
        list_options: metadata_store.ListOptions | None = None,
        extra_options: metadata_store.ExtraOptions | None = None,
    ) -> list[proto.Execution]:
        """Returns all executions that a context is associated with.

        Args:
          context_id: The context's number.
          list_options: Another order, or a limit.
          extra_options: Ignored, as by ML Metadata.

        Raises:
          ml_metadata.errors.StatusError: The file cannot be read.
        """
        found: list[proto.Execution] = super().get_executions_by_context(context_id, list_options or _BY_NUMBER, extra_options)
        return found

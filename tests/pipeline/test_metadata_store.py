import sqlite3
from contextlib import closing

import pytest
from ml_metadata.proto import metadata_store_pb2 as proto

from cxr.pipeline.metadata_store import MetadataStore

pytestmark = pytest.mark.seconds

COUNT = 250  # three of ML Metadata's pages


@pytest.fixture
def file(tmp_path):
    return tmp_path / "metadata.db"


@pytest.fixture
def store(file):
    """One context of many executions, numbered from 1."""
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = MetadataStore(config)
    kind = store.put_execution_type(proto.ExecutionType(name="Node"))
    (context,) = store.put_contexts([proto.Context(type_id=store.put_context_type(proto.ContextType(name="pipeline")), name="small")])
    numbers = store.put_executions([proto.Execution(type_id=kind) for _ in range(COUNT)])
    store.put_attributions_and_associations([], [proto.Association(execution_id=number, context_id=context) for number in numbers])
    return store


@pytest.mark.parametrize(
    "time",
    [
        "id",
        "CASE WHEN id > 240 THEN id - 1000 ELSE id END",  # set back for the newest ten
        "CASE WHEN id BETWEEN 50 AND 150 THEN id + 1000 ELSE id END",  # ahead for a while
        "-id",  # whatever else
    ],
)
def test_every_execution_of_a_context_is_found_whatever_the_clock_did(file, store, time):
    with closing(sqlite3.connect(file)) as database:
        database.execute(
            f"UPDATE Execution SET create_time_since_epoch = 1000000 + {time}, last_update_time_since_epoch = 1000000 + {time}"
        )
        database.commit()
    (context,) = store.get_contexts()
    assert [one.id for one in store.get_executions_by_context(context.id)] == list(range(COUNT, 0, -1))

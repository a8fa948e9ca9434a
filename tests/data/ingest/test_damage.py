import pytest

from cxr.core.errors import CxrError
from cxr.data.ingest.damage import check_sizes
from cxr.data.ingest.dataset import Dataset
from cxr.data.ingest.ingest_config import Ingest

NAME = "train/examples-00000-of-00001.tfrecord.gz"


@pytest.fixture
def records(tmp_path, raw_examples):
    """A folder with one shard, and what it says of itself."""
    import tensorflow as tf

    file = tmp_path / NAME
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for example in raw_examples:
            writer.write(example)
    dataset = Dataset(
        source="made up", class_names=Ingest().class_names, counts={}, patients={}, own_patients=0, rejects=0, duplicates=0,
        seed=0, synthetic=True, config=Ingest(), fingerprint="", files={NAME: file.stat().st_size}, versions={},
    )  # fmt: skip
    return tmp_path, dataset, file


def test_what_ingest_wrote_is_in_order(records):
    folder, dataset, _ = records
    check_sizes(folder, dataset)


@pytest.mark.parametrize("kept", [0, 100, -8])  # none, some, and all but the checksum: the first and the last would read without error
def test_a_shard_that_was_cut_is_named_with_the_remedy(records, kept):
    folder, dataset, file = records
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CxrError, match=rf"{NAME}: has .* bytes in place of the .* cxr ingest SOURCE .* --overwrite"):
        check_sizes(folder, dataset)
    check_sizes(folder, dataset, ("test",))  # nobody reads it


def test_a_missing_shard_is_named(records):
    folder, dataset, file = records
    file.unlink()
    with pytest.raises(CxrError, match=rf"{NAME}: is missing; copy it again"):
        check_sizes(folder, dataset)

import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer.splits import read_split

pytestmark = pytest.mark.seconds


def test_a_split_does_not_depend_on_shards(tmp_path, make_example, write, splits, transform):
    pattern = write(tmp_path / "s" / "a.gz", [make_example(i) for i in reversed(range(10))])
    write(tmp_path / "s" / "b.gz", [make_example(i) for i in range(10, 24)])
    read = read_split([pattern], transform)
    assert read.content_hash.tolist() == splits.train.content_hash.tolist()
    assert read.labels.tolist() == [i % 3 for i in range(24)]
    assert list(read.images) == list(splits.train.images)
    assert read.patients.tolist() == [f"patient{i}" for i in range(24)]
    some = read.take(np.array([3, 1]))
    assert (some.patients.tolist(), some.labels.tolist(), some.sources.tolist()) == (["patient3", "patient1"], [0, 1], ["unknown"] * 2)


def test_a_split_without_images(tmp_path, write, transform):
    read = read_split([write(tmp_path / "a.gz", [])], transform)
    assert (len(read), list(read.images), read.labels.tolist()) == (0, [], [])


def test_faults_name_the_file(tmp_path, make_example, write, transform):
    with pytest.raises(CxrError, match=r"none: no TFRecords of examples; make records again .*remove the numbered folder"):
        read_split([str(tmp_path / "none")], transform)
    with pytest.raises(CxrError, match="'flu' is none of"):
        read_split([write(tmp_path / "label" / "a.gz", [make_example(0, "flu")])], transform)
    with pytest.raises(CxrError, match="b.gz: cannot be read as raw examples"):
        read_split([write(tmp_path / "empty" / "b.gz", [b""])], transform)
    pattern = write(tmp_path / "cut" / "c.gz", [make_example(i) for i in range(9)])
    file = tmp_path / "cut" / "c.gz"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CxrError, match="c.gz: cannot be read"):
        read_split([pattern], transform)
    (tmp_path / "folder.gz").mkdir()
    with pytest.raises(CxrError, match="folder.gz: cannot be read as raw examples"):
        read_split([str(tmp_path / "folder.gz")], transform)

import os
from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.data.ingest.output_folder import check


def test_a_mount_point_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path)
    with pytest.raises(CxrError, match="is a mount point.*name a folder in it"):
        check(tmp_path, False, "", Path("key"))
    check(tmp_path / "records", False, "", Path("key"))

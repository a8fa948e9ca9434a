"""Where targets keep their files: `make fuzz` gives each worker a TMPDIR that it removes, pytest a folder of its own."""

import tempfile

import pytest


@pytest.fixture(scope="package", autouse=True)
def scratch(tmp_path_factory):
    """Leaves nothing of the targets in the system's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("fuzz")))
        yield

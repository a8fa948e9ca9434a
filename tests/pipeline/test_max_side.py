import pytest
from rich.console import Console

from cxr.core import features
from cxr.data.ingest.dataset import DATASET, Dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.examples import prepare_data
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import Workspace


@pytest.mark.parametrize("max_side", [None, 300])
def test_records_say_how_their_images_were_read_whatever_the_configuration_says(tmp_path, max_side):
    counts = {split: dict.fromkeys(features.CLASS_NAMES, 1) for split in features.SPLITS}
    dataset = Dataset(
        source="images", class_names=features.CLASS_NAMES, counts=counts, patients={}, own_patients=9, rejects=0, duplicates=0, seed=1,
        synthetic=False, config=Ingest(max_side=max_side), fingerprint="", files={}, versions={},
    )  # fmt: skip
    (tmp_path / DATASET).write_text(dataset.model_dump_json())
    examples = prepare_data(load("cpu"), str(tmp_path), Workspace(tmp_path / "workspace", "cpu"), Console())
    assert examples.made_with.max_side == max_side

"""What `cxr evaluate` loads."""

import pytest
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.core.features import CLASS_NAMES
from cxr.trainer import artifact
from cxr.trainer.scoring import SavedModel


def test_a_model_that_writes_files_is_refused_before_anything_of_it_runs(tmp_path):
    target = tmp_path / "written"

    class Writing(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def answer(self, image_bytes):
            tf.io.write_file(str(target), "x")
            return {"probabilities": tf.zeros([1, 3])}

    module, folder = Writing(), tmp_path / "model"
    tf.saved_model.save(module, str(folder), signatures={"image_bytes": module.answer})
    artifact.write_info(str(folder), {"name": "m", "class_names": CLASS_NAMES, "image_size": 8})
    with pytest.raises(CxrError, match="its graph holds WriteFile.*do not use it"):
        SavedModel(str(folder))
    assert not target.exists()

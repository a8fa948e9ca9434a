"""What `cxr evaluate` loads."""

import pytest
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.core.features import CLASS_NAMES
from cxr.trainer import model_info
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
    model_info.write_info(str(folder), {"name": "m", "class_names": CLASS_NAMES, "image_size": 8})
    with pytest.raises(CxrError, match="its graph holds WriteFile.*do not use it"):
        SavedModel(str(folder))
    assert not target.exists()


@pytest.mark.parametrize("left", [0, 100])
def test_variables_that_are_cut_short_are_an_error_with_a_remedy(tmp_path, left):
    class Held(tf.Module):
        def __init__(self):
            self.shares = tf.Variable(tf.random.stateless_uniform([1000, 3], [1, 2]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def answer(self, image_bytes):
            return {"probabilities": self.shares}

    module, folder = Held(), tmp_path / "model"
    tf.saved_model.save(module, str(folder), signatures={"image_bytes": module.answer})
    model_info.write_info(str(folder), {"name": "m", "class_names": CLASS_NAMES, "image_size": 8})
    (file,) = (folder / "variables").glob("variables.data*")
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(CxrError, match="model: cannot be loaded .+ copy this version again"):
        SavedModel(str(folder))

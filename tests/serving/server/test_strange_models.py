"""A SavedModel of a stranger is looked at before it is loaded."""

import pytest
import tensorflow as tf

from cxr.core.errors import CxrError


@pytest.fixture
def reading(tmp_path):
    """A folder with a model that answers with the file which the client names."""

    class Reading(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
        def read(self, x):
            return {"y": tf.map_fn(tf.io.read_file, x)}

    module = Reading()
    tf.saved_model.save(module, str(tmp_path / "reading" / "1"), signatures={"serving_default": module.read})
    return tmp_path


def test_a_model_that_reads_files_is_not_served(start, reading, connect):
    with pytest.raises(CxrError, match="its graph holds ReadFile: .*--unchecked-models"):
        start(reading)
    (reading / "reading" / "1" / "saved_model.pb").rename(reading / "reading" / "1" / "saved_model.pbtxt")
    config = f'model_config_list {{ config {{ name: "reading" base_path: "{reading}/reading" model_platform: "tensorflow" }} }}'
    (reading / "models.config").write_text(config)
    with pytest.raises(CxrError, match="saved_model.pbtxt in place of saved_model.pb cannot be checked"):
        start(model_config_file=reading / "models.config")


def test_it_is_where_its_owner_says_so(start, reading, connect):
    (reading / "note").write_text("known")
    caller = connect(start(reading, unchecked_models=True).address)
    request = caller.request("reading")
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([str(reading / "note").encode()]))
    assert list(caller.prediction.Predict(request, timeout=60).outputs["y"].string_val) == [b"known"]

import io

import numpy as np
from PIL import Image

from cxr.data.images.overlays import overlay
from cxr.serving.client.explained import HeatMap


def test_a_saved_map_says_that_the_model_does_not_know_such_a_picture(tmp_path):
    grey, file = np.full((60, 80), 100, np.uint8), io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    found = HeatMap("normal", np.ones((2, 2), np.float32), file.getvalue())
    for outside in (None, False, True):
        name = found.save(tmp_path, tmp_path / "x.png", "m", 0.5, outside)
        with Image.open(tmp_path / name) as saved:
            np.testing.assert_array_equal(np.asarray(saved), np.asarray(overlay(grey, found.heat, "normal", outside=outside)))

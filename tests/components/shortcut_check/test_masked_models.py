"""A SavedModel that looks at one place only, asked about masked pictures."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cxr.components.shortcut_check.masked_models import BATCH, ask_masked, summaries
from cxr.components.shortcut_check.told import PARTS, join_told, save_told
from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.audit.records import Pictures
from cxr.trainer import artifact, files
from cxr.trainer.ensemble.joining import joint_layers
from cxr.trainer.ensemble.voting import WeightedVote

CLASSES = ("dark", "bright")
IMAGES = 2 * BATCH + 4


@pytest.fixture(scope="module")
def pictures():
    """The centre is bright or dark, and so is the upper left corner."""
    labels = np.arange(IMAGES) // 2 % 2
    encoded = []
    for label in labels:
        file = io.BytesIO()
        Image.fromarray(np.full((40, 40), 200 if label else 60, np.uint8)).save(file, "PNG")
        encoded.append(file.getvalue())
    return Pictures(labels, np.array([f"p{k // 2}".encode() for k in range(IMAGES)], object), encoded)


def test_an_ensemble_joins_what_its_members_were_told(tmp_path, pictures):
    files.make_parent(artifact.joint_path(str(tmp_path / "ensemble")))
    joint_layers(WeightedVote([0.25, 0.75]), members=2, classes=2).save(artifact.joint_path(str(tmp_path / "ensemble")))
    rng = np.random.default_rng(0)
    told = [{part: rng.dirichlet([1, 1], IMAGES).astype(np.float32) for part in PARTS} for _ in range(2)]
    for number, answers in enumerate(told):
        save_told(answers, pictures, tmp_path / f"{number}")
    members = [tmp_path / "0", tmp_path / "1"]
    for part, joined in join_told(str(tmp_path / "ensemble"), members, pictures).items():
        np.testing.assert_allclose(joined, 0.25 * told[0][part] + 0.75 * told[1][part], rtol=1e-6)
    others = Pictures(pictures.labels, pictures.patients, pictures.encoded[::-1])
    with pytest.raises(CxrError, match="about other pictures"):
        join_told(str(tmp_path / "ensemble"), members, others)
    (tmp_path / "1/masked_answers.npz").write_bytes(b"cut")
    with pytest.raises(CxrError, match="not the answers of a member"):
        join_told(str(tmp_path / "ensemble"), members, pictures)


def export(folder, at):
    """Answers by the grey level of one pixel: bright above 100."""

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES)])
        def image_bytes(self, encoded):
            levels = tf.map_fn(lambda one: tf.io.decode_png(one)[at, at, 0], encoded, fn_output_signature=tf.uint8)
            bright = tf.cast(levels > 100, tf.float32)
            return {features.PROBABILITIES: tf.stack([1 - bright, bright], axis=1)}

    module = Model()
    tf.saved_model.save(module, str(folder), signatures={features.SIGNATURE_BYTES: module.image_bytes})
    return str(folder)


@pytest.mark.parametrize(("at", "without_lungs", "lungs_alone"), [(1, 1.0, 0.5), (20, 0.5, 1.0)])
def test_a_model_fails_where_what_it_looks_at_is_black(tmp_path, pictures, at, without_lungs, lungs_alone):
    told = ask_masked("tiny", export(tmp_path / "model", at), pictures, CLASSES)
    found = {answers.blacked_out: answers for answers in summaries("tiny", told, pictures, CLASSES)}
    assert found["centre"].accuracy.value == pytest.approx(without_lungs, abs=0.06)
    assert found["border"].accuracy.value == pytest.approx(lungs_alone, abs=0.06)
    assert found["centre"].verdict.startswith(f"with the lungs blacked out, tiny is right on {found['centre'].accuracy.value:.3f}")
    assert (found["border"].images, found["border"].patients) == (IMAGES, IMAGES // 2)

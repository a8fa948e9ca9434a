"""Where things lie inside a Model artifact.

```
<uri>/Format-Serving/                     SavedModel; all that the Pusher copies
<uri>/Format-Serving/assets.extra/        model.json (model_info.py), training_images.npy, warm-up and recorded requests
<uri>/Format-Keras/model.keras            image_tensor -> probabilities, for the ensemble and for Grad-CAM
<uri>/Format-Keras/joint.keras              the members' probabilities -> the ensemble's; ensemble only
<uri>/Format-Keras/transform_graph/         what images went through before they came to it
<uri>/Format-Keras/outside.npz              what tells pictures unlike the training images, for the ensemble
<uri>/Format-Keras/predictions_<split>.npz
<uri>/Format-Keras/predictions_train_oof.npz  out of fold: of heads that had not seen the image's patient; frozen backbones only
```

A URI may be of any filesystem that `tf.io.gfile` knows.
"""

from __future__ import annotations

from cxr.core.places import SERVING

TRAIN_OOF = "train_oof"  # in place of a split's name: out-of-fold answers to the training split


def serving_dir(uri: str) -> str:
    """Folder of the SavedModel."""
    return f"{uri.rstrip('/')}/{SERVING}"


def keras_path(uri: str) -> str:
    """File of the Keras model."""
    return _keras_file(uri, "model.keras")


def joint_path(uri: str) -> str:
    """File of the Keras model that makes the ensemble's probabilities of its members'."""
    return _keras_file(uri, "joint.keras")


def transform_path(uri: str) -> str:
    """Folder of a copy of the TransformGraph artifact that the model was trained with."""
    return _keras_file(uri, "transform_graph")


def outside_path(uri: str) -> str:
    """File of what tells pictures unlike the training images."""
    return _keras_file(uri, "outside.npz")


def predictions_path(uri: str, split: str) -> str:
    """File of the model's answers on a split."""
    return _keras_file(uri, f"predictions_{split}.npz")


def _keras_file(uri: str, name: str) -> str:
    return f"{uri.rstrip('/')}/Format-Keras/{name}"

"""scikit-learn's logistic regression on a frozen backbone's features: what a head has to be better than."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr.core.stored_rows import Array

C = 0.001  # inverse strength of the L2 penalty: there are ten times as many features as images
_ITERATIONS = 2000


def logistic_answers(train: Array, labels: npt.NDArray[np.int64], asked: Array, weights: npt.NDArray[np.float32] | None = None) -> Array:
    """Fits to some images and answers others.

    Args:
      train: Features, [images, width]; they are standardised by their own mean and variance.
      labels: [images], from 0 on without a gap.
      asked: Features of the others, [others, width].
      weights: [images], how much each counts in the fit; None: all the same.

    Returns:
      Probabilities, float32 [others, classes].
    """
    # With more features than images the solution lies among the images: their coordinates there, as many as images, give the same answers.
    rotation = [KernelPCA(kernel="linear")] if train.shape[1] > train.shape[0] else []
    fitted = make_pipeline(StandardScaler(), *rotation, LogisticRegression(C=C, max_iter=_ITERATIONS))
    fitted.fit(train, labels, logisticregression__sample_weight=weights)
    return np.asarray(fitted.predict_proba(asked), np.float32)

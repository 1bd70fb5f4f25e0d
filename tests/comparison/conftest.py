"""Pairs of label maps made from arrays."""

import numpy as np
import pytest

from medseg.comparison.pair import Pair
from medseg.volume import Volume


@pytest.fixture(scope="session")
def labels_of():
    """``labels_of(array, spacing_mm)``: a label map of an array with two or three axes."""

    def make(array, spacing_mm=(1, 1, 1)):
        array = np.asarray(array)
        spacing = [*spacing_mm, 1.0][:3]
        return Volume(array.reshape((*array.shape, 1)[:3]), np.diag([*spacing, 1.0]), kind="labels")

    return make


@pytest.fixture(scope="session")
def pair_of(labels_of):
    """``pair_of(truth, predicted, spacing_mm)``."""

    def make(truth, predicted, spacing_mm=(1, 1, 1)):
        return Pair(labels_of(predicted, spacing_mm), labels_of(truth, spacing_mm))

    return make

"""Volumes of labels, and the warning for one that cannot be."""

import numpy as np
import pytest

from medseg.measure import implausible, measure
from medseg.plugin import Label
from medseg.volume import Volume


@pytest.mark.parametrize(
    ("voxels", "warned"), [(0, False), (99, True), (101, False), (1999, False), (2001, True)]
)
def test_a_result_of_an_implausible_size_gets_a_warning_and_an_absent_label_none(voxels, warned):
    array = np.zeros((20, 20, 20), np.uint8)
    array.ravel()[:voxels] = 1
    labels = Volume(array, np.diag([10.0, 10.0, 10.0, 1.0]), kind="labels")  # 1 mL a voxel
    brain = Label(value=1, name="brain", colour="#ff0000", plausible_ml=(100.0, 2000.0))

    sentences = implausible(measure(labels, (Label(value=0, name="background", colour="#000000"), brain)))

    assert bool(sentences) == warned
    assert all(f"brain: got {voxels:,} mL, wanted 100 to 2,000 mL" in s for s in sentences)

"""Several channels of one image: whatever their files say in the last digits, voxels stay together."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medseg.contract import check
from medseg.geometry import reorient, reorient_together
from medseg.predict import load_model
from medseg.volume import Volume


def turned_grids():
    """Affines of two files of one grid, of which the first is read as ALS and the second as RAS."""
    affines = []
    for degrees in (45 + 1e-4, 45 - 1e-4):
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
        affines.append(affine)
    return affines


@pytest.mark.parametrize("first", [0, 1])
def test_channels_near_45_degrees_are_turned_together(tiny, first):
    """The network sees the first channel plus ten times the second, and asks if that is above 100.5."""
    values = np.random.default_rng(0).uniform(0, 20, (2, 9, 9, 9)).astype(np.float32)
    affines = turned_grids()
    images = [Volume(values[n], affines[n ^ first]) for n in range(2)]
    assert images[0].grid.matches(images[1].grid)
    assert images[0].orientation != images[1].orientation
    model = load_model("tiny:pair", device="cpu")
    assert not check(images, model.description.input)

    found = model.segment(images).labels

    np.testing.assert_array_equal(found.array, values[0] + 10 * values[1] > 100.5)
    np.testing.assert_array_equal(found.affine, images[0].affine)


def test_volumes_that_are_turned_together_come_back_to_the_first_ones_grid():
    values = np.arange(24.0).reshape(2, 3, 4)
    images = [Volume(values, affine) for affine in turned_grids()]
    turned, undo = reorient_together(images, "SLP")
    for volume in turned:
        np.testing.assert_array_equal(volume.array, reorient(images[0], "SLP")[0].array)
        np.testing.assert_array_equal(undo(volume).array, values)
        np.testing.assert_array_equal(undo(volume).affine, images[0].affine)

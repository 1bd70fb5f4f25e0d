"""Phantoms: what is promised of the bodies, the grid and the seed."""

import numpy as np
import pytest
from scipy import ndimage

from medseg.errors import OptionError
from medseg.testing.phantoms import make_phantom


@pytest.mark.parametrize("labels", [1, 2, 5, 8])
def test_each_label_is_one_body_inside_the_grid_and_touches_no_other(labels):
    _, truth = make_phantom(shape=(40, 36, 32), labels=labels, seed=3)
    _, count = ndimage.label(truth.array, structure=np.ones((3, 3, 3)))

    assert count == labels
    assert len(np.unique(truth.array)) == labels + 1
    for axis in range(3):
        assert not np.take(truth.array, [0, -1], axis=axis).any()


def test_a_ball_is_round_in_mm_on_an_anisotropic_grid():
    _, truth = make_phantom(shape=(64, 32, 16), spacing_mm=(0.5, 1.0, 2.0), labels=1)
    extent = [stop - start for start, stop in _extents(truth)]
    assert np.ptp(extent) <= 2.0  # one voxel of the coarsest axis


def _extents(truth):
    box = ndimage.find_objects(truth.array)[0]
    return [(s.start * mm, s.stop * mm) for s, mm in zip(box, truth.spacing_mm, strict=True)]


def test_the_image_tells_the_labels_apart_and_lies_on_the_same_grid():
    image, truth = make_phantom(shape=(48, 40, 32), spacing_mm=(1.0, 1.0, 1.5), labels=2, noise=0.05)
    means = ndimage.mean(image.array, truth.array, [0, 1, 2])

    assert means == pytest.approx([0, 0.5, 1], abs=0.05)
    assert image.grid.matches(truth.grid)
    assert image.spacing_mm == (1.0, 1.0, 1.5)
    assert image.orientation == "RAS"
    assert image.affine @ [(47 / 2), (39 / 2), (31 / 2), 1] == pytest.approx([0, 0, 0, 1])


def test_the_seed_decides_everything():
    first, same, other = (make_phantom(shape=(24, 24, 24), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0].array, same[0].array)
    np.testing.assert_array_equal(first[1].array, same[1].array)
    assert (first[1].array != other[1].array).any()


def test_more_bodies_than_fit_are_refused():
    with pytest.raises(OptionError, match="40 bodies do not fit"):
        make_phantom(shape=(4, 4, 4), labels=40)

"""nnU-Net's resampling, against scikit-image and scipy, which nnU-Net calls."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage.transform import resize

from medseg.errors import VolumeError
from medseg.nnunet_grid import header_spacing, resample_nnunet, separate_axis
from medseg.volume import Grid, Volume


def noise(shape, spacing):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return Volume(ndimage.gaussian_filter(values, 1).astype(np.float32), np.diag([*spacing, 1.0]))


@pytest.mark.parametrize(
    ("before", "after", "axis"),
    [
        ((1, 1, 1), (1, 1, 3), None),
        ((1, 1, 3.1), (1, 1, 1), 2),
        ((1, 1, 1), (5, 1, 1), 0),
        ((1, 1, 6), (7, 1, 1), 2),  # what is resampled from decides
        ((0.2, 1, 1), (1, 1, 1), None),  # two axes are long: neither is apart
    ],
)
def test_the_long_axis_is_apart_from_three_times_on(before, after, axis):
    assert separate_axis(before, after) == axis


@pytest.mark.parametrize("order", [(3, "cubic"), (1, "linear")])
def test_without_thick_slices_it_is_scikit_image_s_resize(order):
    volume = noise((20, 17, 23), (1.0, 1.2, 0.9))
    found = resample_nnunet(volume, (1.5, 1.5, 0.7), interpolation=order[1])
    shape = (13, 14, 30)  # round(20 / 1.5), round(17 * 1.2 / 1.5), round(23 * 0.9 / 0.7)
    assert found.shape == shape
    expected = resize(volume.array.astype(float), shape, order[0], mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(found.array, expected, atol=2e-6)


@pytest.mark.parametrize("thick", [0, 1, 2])
def test_thick_slices_are_resampled_each_by_itself_and_the_nearest_is_taken(thick):
    spacing = [1.0, 1.0, 1.0]
    spacing[thick] = 4.0
    volume = noise((14, 15, 16), spacing)
    found = resample_nnunet(volume, (1.5, 1.4, 1.6)).array
    slices = np.moveaxis(volume.array.astype(float), thick, 0)
    across = [n for axis, n in enumerate(found.shape) if axis != thick]
    planes = np.stack([resize(s, across, 3, mode="edge", anti_aliasing=False) for s in slices])
    count = found.shape[thick]
    at = len(slices) / count * (np.arange(count) + 0.5) - 0.5
    where = np.meshgrid(at, *(np.arange(n) for n in across), indexing="ij")
    expected = ndimage.map_coordinates(planes, where, order=0, mode="nearest")
    np.testing.assert_allclose(np.moveaxis(found, thick, 0), expected, atol=2e-6)


def test_the_field_of_view_is_kept_and_halves_are_rounded_to_even():
    volume = noise((5, 7, 6), (1.0, 1.0, 1.0))
    found = resample_nnunet(volume, (2.0, 2.0, 2.0))
    assert found.shape == (2, 4, 3)  # of 2.5, 3.5 and 3
    np.testing.assert_allclose(np.multiply(found.shape, found.spacing_mm), (5, 7, 6))
    np.testing.assert_allclose(
        found.affine @ [*(np.subtract(found.shape, 1) / 2), 1], [2, 3, 2.5, 1], atol=1e-12
    )


def test_the_same_number_of_voxels_is_the_same_array():
    volume = noise((5, 7, 6), (1.0, 1.0, 1.0))
    assert np.shares_memory(resample_nnunet(volume, (1.01, 1.01, 1.0)).array, volume.array)


def test_a_spacing_that_leaves_no_voxel_is_refused():
    with pytest.raises(VolumeError, match=r"\(0, 2, 2\) voxels; wanted 1 to"):
        resample_nnunet(noise((5, 7, 6), (1.0, 1.0, 1.0)), (11.0, 3.0, 3.0))


@pytest.mark.parametrize(
    "spacing", [(1, 1, 3), (0.9, 3, 3), (0.5, 0.5, 0.5), (0.4, 0.4, 1.2), (0.488281, 1, 5)]
)
def test_an_oblique_image_is_resampled_as_its_header_says(spacing):
    """NIfTI holds spacing and affine in float32: the columns of an oblique one have other last digits."""
    header = tuple(float(np.float32(mm)) for mm in spacing)
    shape = tuple(round(mm * n) for mm, n in zip(header, (31, 9, 7), strict=True))
    for seed in range(20):
        affine = np.eye(4)
        turned = Rotation.random(random_state=seed).as_matrix() * np.array(header)
        affine[:3, :3] = turned.astype(np.float32)
        assert header_spacing(Grid((31, 9, 7), affine)) == header
        found = resample_nnunet(Volume(np.zeros((31, 9, 7), np.float32), affine), (1.0, 1.0, 1.0))
        assert found.shape == shape


def test_exact_voxel_sizes_stay_as_they_are():
    sizes = tuple(float(np.float32(mm)) for mm in (0.48828125, 0.97654321, 1.7999999523))
    assert header_spacing(Grid((4, 4, 4), np.diag([*sizes, 1.0]))) == sizes
    turned = np.eye(4)
    turned[:3, :3] = Rotation.random(random_state=0).as_matrix() * np.array(sizes)
    assert header_spacing(Grid((4, 4, 4), turned)) == sizes

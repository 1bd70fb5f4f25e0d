"""Interpolation: the separable path equals the point-by-point one and scipy, in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from medseg import interpolation
from medseg.errors import VolumeError
from medseg.interpolation import as_stored, sample_anywhere, sample_parallel

SHAPE = (7, 8, 9)
ORDER = {"nearest": 0, "linear": 1, "cubic": 3}


def values(dtype=np.float32, shape=SHAPE):
    return np.random.default_rng(0).uniform(0, 200, shape).astype(dtype)


def ramps():
    """Steps and offsets that meet no halfway point; some reach beyond the array."""
    return tuple(
        np.arange(count) * step + start
        for count, step, start in ((13, 0.61, -0.33), (5, 2.03, -1.02), (20, 0.4, 0.11))
    )


@pytest.mark.parametrize("how", ORDER)
@pytest.mark.parametrize("outside", [0, -50])
def test_one_axis_after_the_other_is_the_same_as_every_point(how, outside):
    positions = ramps()
    matrix = np.eye(4)
    matrix[range(3), range(3)] = [p[1] - p[0] for p in positions]
    matrix[:3, 3] = [p[0] for p in positions]
    shape = tuple(map(len, positions))
    np.testing.assert_allclose(
        sample_parallel(values(), positions, how, outside),
        sample_anywhere(values(), matrix, shape, how, outside),
        atol=2e-3,
        rtol=1e-5,
    )


@pytest.mark.parametrize("how", ["linear", "cubic"])
def test_points_inside_are_scipys(how):
    inside = tuple(np.linspace(0, n - 1, 11) for n in SHAPE)
    expected = ndimage.map_coordinates(
        values(np.float64), np.meshgrid(*inside, indexing="ij"), order=ORDER[how], mode="nearest"
    )
    np.testing.assert_allclose(sample_parallel(values(np.float64), inside, how, 0), expected, rtol=1e-9)


@pytest.mark.parametrize("how", ORDER)
def test_a_voxel_reaches_half_its_width_and_no_further(how):
    array = np.full((3, 3, 3), 8, np.float32)
    one = np.array([1.0])
    edge = np.array([-0.5001, -0.5, -0.4999, 2.4999, 2.5, 2.5001])
    found = sample_parallel(array, (one, edge, one), how, -1).ravel()
    np.testing.assert_allclose(found, [-1, 8, 8, 8, 8, -1], rtol=1e-6)


def test_the_outside_is_filled_on_every_axis_alone_and_together():
    array = np.ones((2, 3, 4), np.float32)
    positions = (np.arange(-1.0, 3), np.arange(-2.0, 4), np.arange(0.0, 7))
    found = sample_parallel(array, positions, "linear", -9)
    expected = np.full((4, 6, 7), -9.0)
    expected[1:3, 2:5, 0:4] = 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i2", "<u4", ">i4", "i8", "f2", "<f4", ">f4", "f8"])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda a: a[::-1, ::-1, ::-1]])
def test_every_number_type_byte_order_and_memory_layout_gives_the_same_values(dtype, layout):
    array = layout(np.ascontiguousarray(values("u1").astype(dtype)))
    array.flags.writeable = False
    plain = np.array(array, np.float64, order="C")
    inside = tuple(np.linspace(0, n - 1, 6) for n in SHAPE)
    skew = np.eye(4)
    skew[0, 1], skew[1, 0] = 0.1, -0.1
    for how in ("nearest", "linear", "cubic"):
        np.testing.assert_allclose(
            sample_parallel(array, inside, how, 0), sample_parallel(plain, inside, how, 0), atol=1e-3
        )
        np.testing.assert_allclose(
            sample_anywhere(array, skew, (4, 4, 4), how, 0),
            sample_anywhere(plain, skew, (4, 4, 4), how, 0),
            atol=1e-3,
        )


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<u4", ">u4", "i8", "f8"])
def test_values_beyond_24_bits_are_not_rounded(dtype):
    array = np.full((2, 2, 2), 2**30 + 1).astype(dtype)
    half = (np.array([0.5]),) * 3
    assert sample_parallel(array, half, "linear", 0).item() == 2**30 + 1
    skew = np.eye(4)
    skew[0, 1] = 0.1
    assert sample_anywhere(array, skew, (1, 1, 1), "linear", 0).item() == 2**30 + 1


@pytest.mark.parametrize("dtype", ["?", "u1", ">i2", "i8", "f2", "f8"])
def test_nearest_keeps_the_type(dtype):
    array = values("u1").astype(dtype)
    assert sample_parallel(array, ramps(), "nearest", 0).dtype == array.dtype
    assert sample_anywhere(array, np.eye(4), (2, 2, 2), "nearest", 0).dtype == array.dtype


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("how", ORDER)
def test_a_single_voxel_along_an_axis_is_constant_along_it(axis, how):
    shape = [4, 4, 4]
    shape[axis] = 1
    array = values(shape=tuple(shape))
    positions = [np.arange(4.0)] * 3
    positions[axis] = np.array([-0.4, 0.0, 0.4])
    expected = np.repeat(array, 3, axis)
    np.testing.assert_allclose(sample_parallel(array, tuple(positions), how, 0), expected, rtol=1e-5)


@pytest.mark.parametrize("how", ["linear", "cubic"])
@pytest.mark.parametrize("path", ["separable", "oblique"])
def test_resampling_never_holds_several_copies_in_double_precision(how, path):
    """An int16 source of 4 MB; four float64 arrays of the result's size would be 85 MB."""
    array = np.zeros((128, 128, 128), np.int16)
    positions = tuple(np.linspace(0, 127, 138) for _ in range(3))
    matrix = np.diag([127 / 137] * 3 + [1.0])
    matrix[0, 1] = 1e-3
    result_bytes, slab_bytes = 138**3 * 4, 100e6 if path == "oblique" else 0
    tracemalloc.start()
    if path == "separable":
        sample_parallel(array, positions, how, 0)
    else:
        sample_anywhere(array, matrix, (138, 138, 138), how, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * result_bytes + slab_bytes


@pytest.mark.parametrize(
    ("value", "dtype"), [(-1, "u1"), (256, "u1"), (0.5, "i2"), (np.nan, "i2"), (np.inf, "i8"), (2, "?")]
)
def test_a_fill_value_that_the_type_cannot_hold_is_refused(value, dtype):
    with pytest.raises(VolumeError, match="cannot fill"):
        as_stored(value, np.dtype(dtype))


@pytest.mark.parametrize(
    ("value", "dtype"), [(255, "u1"), (-1024.0, ">i2"), (1, "?"), (np.nan, "f4"), (0.1, "f8")]
)
def test_a_fill_value_that_fits_is_kept(value, dtype):
    stored = as_stored(value, np.dtype(dtype))
    assert stored.dtype == np.dtype(dtype)
    np.testing.assert_equal(float(stored), np.float64(value) if dtype != "f4" else np.nan)


@pytest.mark.parametrize("how", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_bands_change_no_bit(how, order, monkeypatch):
    array = np.asarray(np.random.default_rng(0).normal(size=(23, 17, 19)), np.float32, order=order)
    positions = tuple(np.linspace(-0.5, n - 0.5, m) for n, m in zip(array.shape, (11, 40, 19), strict=True))
    whole = interpolation.sample_parallel(array, positions, how, 0)
    monkeypatch.setattr(interpolation, "_BAND_VOXELS", 900)
    np.testing.assert_array_equal(interpolation.sample_parallel(array, positions, how, 0), whole)

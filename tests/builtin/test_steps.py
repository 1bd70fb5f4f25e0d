"""Steps: intensities against numpy and skimage, pieces and holes against scipy and skimage."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from skimage import exposure, measure

from medseg.builtin import steps
from medseg.errors import OptionError
from medseg.volume import Volume

EYE = np.eye(4)


def image(dtype=np.float32):
    return Volume(np.random.default_rng(0).gamma(2, 50, (9, 10, 11)).astype(dtype), EYE)


def labels_of(array):
    return Volume(np.asarray(array), EYE, "labels")


def apply(step, volume):
    changed, undo = step(volume)
    assert undo(changed) is changed
    assert changed.grid.matches(volume.grid)
    return changed.array


INTENSITY = {
    "clip": steps.clip(low=20, high=90),
    "clip_percentiles": steps.clip_percentiles(low=5, high=90),
    "zscore": steps.zscore(),
    "scale": steps.scale(factor=0.5, offset=-3),
    "rescale": steps.rescale(low=-1, high=1),
}
EXPECTED = {
    "clip": lambda x: np.clip(x, 20, 90),
    "clip_percentiles": lambda x: np.clip(x, *np.percentile(x, [5, 90])),
    "zscore": lambda x: (x - x.mean()) / x.std(),
    "scale": lambda x: x * 0.5 - 3,
    "rescale": lambda x: exposure.rescale_intensity(x, out_range=(-1.0, 1.0)),
}


@pytest.mark.parametrize("name", INTENSITY)
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "f8"])
def test_an_intensity_step_is_the_formula_in_double_precision(name, dtype):
    volume = image(dtype)
    found = apply(INTENSITY[name], volume)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, EXPECTED[name](volume.array.astype(np.float64)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", INTENSITY)
def test_a_constant_image_gives_numbers(name):
    assert np.isfinite(apply(INTENSITY[name], Volume(np.full((2, 3, 4), 7, np.int16), EYE))).all()


def test_zscore_of_what_is_not_zero_leaves_zeros_alone():
    x = np.random.default_rng(0).normal(5, 2, (9, 9, 9)).astype(np.float32)
    x[:3] = 0
    found = apply(steps.zscore(nonzero=True), Volume(x, EYE))
    inside = x != 0
    assert not found[~inside].any()
    assert found[inside].mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert found[inside].std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    nothing = np.zeros((3, 3, 3), np.float32)
    assert not apply(steps.zscore(nonzero=True), Volume(nothing, EYE)).any()


def test_zscore_is_right_far_from_zero():
    """The mean of float32 numbers near 10^6, summed in float32, would be off by more than they vary."""
    x = 1e6 + np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
    found = apply(steps.zscore(), Volume(x.astype(np.float32), EYE))
    assert abs(found.mean(dtype=np.float64)) < 0.01
    assert found.std(dtype=np.float64) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: steps.clip(low=2, high=1),
        lambda: steps.clip_percentiles(low=-1, high=50),
        lambda: steps.clip_percentiles(low=60, high=50),
        lambda: steps.clip_percentiles(low=1, high=101),
    ],
)
def test_limits_that_are_none_are_refused(make):
    with pytest.raises(OptionError, match="low"):
        make()


@pytest.mark.parametrize("step", [steps.largest_component(), steps.fill_holes()])
def test_a_step_for_labels_refuses_an_image(step):
    with pytest.raises(OptionError, match="label maps; it got an image"):
        step(image())


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_piece_is_skimages(seed):
    mask = np.random.default_rng(seed).random((20, 21, 22)) < 0.08
    pieces = measure.label(mask, connectivity=3)
    sizes = np.bincount(pieces.ravel())[1:]
    assert (sizes == sizes.max()).sum() == 1  # no tie
    np.testing.assert_array_equal(steps.largest_piece(mask), pieces == sizes.argmax() + 1)


def test_an_empty_mask_has_an_empty_largest_piece():
    assert not steps.largest_piece(np.zeros((3, 3, 3), bool)).any()
    assert not apply(steps.largest_component(), labels_of(np.zeros((3, 3, 3), np.uint8))).any()


def test_each_label_keeps_its_own_largest_piece():
    array = np.zeros((12, 12, 12), np.uint8)
    array[1:4, 1:4, 1:4], array[6:8, 6:8, 6:8] = 1, 1
    array[4:6, 1:3, 1:3], array[10, 10, 10] = 5, 5  # touches label 1, which joins nothing
    expected = array.copy()
    expected[6:8, 6:8, 6:8], expected[10, 10, 10] = 0, 0
    np.testing.assert_array_equal(apply(steps.largest_component(), labels_of(array)), expected)


@pytest.mark.parametrize("seed", range(5))
def test_filled_holes_are_scipys(seed):
    array = (np.random.default_rng(seed).random((15, 16, 17)) < 0.75).astype(np.uint8)
    expected = ndimage.binary_fill_holes(array)
    assert expected.sum() > array.sum()
    np.testing.assert_array_equal(apply(steps.fill_holes(), labels_of(array)), expected)


def test_a_hole_open_to_the_border_of_the_image_is_none():
    array = np.ones((5, 5, 5), np.uint8)
    array[:, 2, 2] = 0
    np.testing.assert_array_equal(apply(steps.fill_holes(), labels_of(array)), array)


@pytest.mark.parametrize(("inner", "outer"), [(1, 2), (2, 1)])
def test_a_hole_belongs_to_the_innermost_label_around_it(inner, outer):
    array = np.zeros((13, 13, 13), np.uint8)
    array[1:12, 1:12, 1:12] = outer
    array[2:11, 2:11, 2:11] = 0
    array[4:9, 4:9, 4:9] = inner
    array[5:8, 5:8, 5:8] = 0
    filled = apply(steps.fill_holes(), labels_of(array))
    assert (filled[5:8, 5:8, 5:8] == inner).all()
    assert filled[2, 2, 2] == outer
    assert (filled[4:9, 4:9, 4:9] == inner).all()
    assert (filled[0] == 0).all()


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "u4", "i8", ">u8"])
@pytest.mark.parametrize("step", [steps.largest_component(), steps.fill_holes()])
def test_labels_keep_their_type_and_are_never_invented(dtype, step):
    array = np.random.default_rng(0).integers(0, 3, (8, 8, 8)).astype(dtype)
    found = apply(step, labels_of(array))
    assert found.dtype == array.dtype
    assert set(np.unique(found)) <= {0, 1, 2}


@pytest.mark.parametrize("step", [steps.largest_component(), steps.fill_holes()])
def test_a_label_of_many_digits_takes_no_more_memory_than_a_small_one(step):
    small = (np.random.default_rng(0).random((10, 10, 10)) < 0.7).astype(np.int64)
    tracemalloc.start()
    found = apply(step, labels_of(small * 2**40))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, apply(step, labels_of(small)) * 2**40)
    assert peak < 1e6

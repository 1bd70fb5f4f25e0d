"""Masks that are brought to the border that the image shows."""

import dataclasses
import inspect

import numpy as np
import pytest
from medseg_contours.choices import make_step
from medseg_contours.drawing import start_from_outlines, start_from_scribbles
from medseg_contours.refine import _Settings, refine, refine_contour
from scipy import ndimage

import medseg
from medseg import Volume
from medseg.errors import ContractError, OptionError
from medseg.geometry import resample_to

AFFINE = np.diag([2.0, 1.0, 1.0, 1.0])
SHAPE = (20, 36, 36)


def distance_to(centre_mm, shape=SHAPE, affine=AFFINE):
    grid = np.indices(shape).reshape(3, -1)
    points = affine[:3, :3] @ grid + affine[:3, 3:]
    return np.linalg.norm(points - np.reshape(centre_mm, (3, 1)), axis=0).reshape(shape)


TRUTH = distance_to((19.0, 17.5, 17.5)) < 10


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return Volume((100 * TRUTH + rng.normal(0, 15, SHAPE)).astype(np.float32), AFFINE)


def mask(array, dtype=np.uint8):
    return Volume(array.astype(dtype), AFFINE, kind="labels")


def dice(a, b):
    return 2 * np.logical_and(a, b).sum() / (a.sum() + b.sum())


PLAIN = {
    "iterations": 30,
    "mu": 0.3,
    "nu": 0.0,
    "hold": 0.0,
    "window_mm": 10.0,
    "pool": 0.0,
    "trust": False,
}
DAMAGED = {
    "dilated": ndimage.binary_dilation(TRUTH, iterations=2),
    "eroded": ndimage.binary_erosion(TRUTH, iterations=2),
    "shifted": np.roll(TRUTH, 3, axis=1),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("appearance", ["likeness", "intensity"])
@pytest.mark.parametrize("region", ["local", "global"])
def test_a_damaged_mask_comes_back(image, damage, region, appearance):
    bad = DAMAGED[damage]
    after = refine(image, mask(bad), region=region, appearance=appearance, **PLAIN).array > 0

    assert dice(after, TRUTH) > 0.95
    assert dice(after, TRUTH) > dice(bad, TRUTH) + 0.05


@pytest.mark.parametrize("damage", DAMAGED)
def test_the_defaults_improve_a_damaged_mask(image, damage):
    bad = DAMAGED[damage]
    assert dice(refine(image, mask(bad)).array > 0, TRUTH) > dice(bad, TRUTH) + 0.05


def test_likeness_keeps_both_brighter_and_darker_neighbours_out():
    """The ball is grey between a black and a white half, where two mean intensities cannot part it."""
    rng = np.random.default_rng(0)
    around = np.where(np.arange(SHAPE[2]) < 18, 0.0, 200.0)
    image = Volume((np.where(TRUTH, 100.0, around) + rng.normal(0, 8, SHAPE)).astype(np.float32), AFFINE)
    by = {
        how: dice(
            refine(image, mask(DAMAGED["dilated"]), region="global", appearance=how, **PLAIN).array > 0, TRUTH
        )
        for how in ("likeness", "intensity")
    }

    assert by["likeness"] > 0.95 > by["intensity"]


def test_a_probability_map_is_refined_at_one_half(image):
    soft = Volume(ndimage.gaussian_filter(DAMAGED["eroded"].astype(np.float32), 1.5), AFFINE)
    for trust in (False, True):
        after = refine(image, soft, **PLAIN | {"trust": trust})
        assert after.kind == "labels"
        assert dice(after.array > 0, TRUTH) > dice(soft.array > 0.5, TRUTH)


def test_the_callback_sees_the_contour_move_and_changes_nothing(image):
    seen = []
    bad = mask(DAMAGED["eroded"])
    watched = refine(
        image, bad, iterations=12, every=5, on_iteration=lambda n, v: seen.append((n, dice(v.array, TRUTH)))
    )

    assert [n for n, _ in seen] == [5, 10, 12]
    assert seen[0][1] < seen[-1][1]
    np.testing.assert_array_equal(watched.array, refine(image, bad, iterations=12).array)


def test_two_labels_keep_their_values_their_type_and_their_grid():
    first, second = distance_to((10.0, 10.0, 10.0)) < 7, distance_to((28.0, 26.0, 26.0)) < 7
    image = Volume((100.0 * (first | second)).astype(np.float32), AFFINE)
    initial = np.zeros(SHAPE, np.uint16)
    initial[ndimage.binary_erosion(first, iterations=2)] = 7
    initial[ndimage.binary_dilation(second, iterations=2)] = 300
    after = refine(image, Volume(initial, AFFINE, kind="labels"), **PLAIN)

    assert after.array.dtype == np.uint16
    assert after.grid.matches(image.grid)
    assert set(np.unique(after.array)) == {0, 7, 300}
    assert min(dice(after.array == 7, first), dice(after.array == 300, second)) > 0.9


def test_nothing_beyond_the_reach_changes(image):
    bad = DAMAGED["shifted"]
    after = refine(image, mask(bad), iterations=30, reach_mm=2.0).array > 0
    changed = after != bad
    depth = np.where(bad, *(ndimage.distance_transform_edt(m, sampling=(2.0, 1.0, 1.0)) for m in (bad, ~bad)))

    assert changed.any()
    assert depth[changed].max() <= 2.5


def test_no_iteration_changes_nothing_and_an_empty_mask_stays_empty(image):
    bad = mask(DAMAGED["shifted"])
    np.testing.assert_array_equal(refine(image, bad, iterations=0).array, bad.array)
    assert not refine(image, mask(np.zeros(SHAPE))).array.any()


def test_the_same_anatomy_on_another_grid_ends_in_the_same_place():
    """The ball at 1 x 1 x 1 mm and at 3 x 1 x 1 mm: the contours, compared on the finer grid."""
    contours = []
    for hx in (1.0, 3.0):
        affine = np.diag([hx, 1.0, 1.0, 1.0])
        affine[0, 3] = (hx - 1) / 2  # both fields of view begin at the same place
        shape = (round(42 / hx), 36, 36)
        r = distance_to((20.0, 17.0, 17.0), shape, affine)
        image = Volume((100 / (1 + np.exp(r - 11))).astype(np.float32), affine)
        initial = Volume(
            (distance_to((20.0, 19.0, 17.0), shape, affine) < 8).astype(np.uint8), affine, "labels"
        )
        contours.append(
            refine_contour(image, initial, **PLAIN | {"iterations": 40, "appearance": "intensity"})
        )
    fine, coarse = contours
    on_fine = resample_to(coarse, fine.grid, interpolation="cubic")[0]

    assert dice(fine.array > 0, on_fine.array > 0) >= 0.97


def test_strokes_become_a_contour_that_finds_the_object(image):
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[10, 14:22, 18] = 1
    strokes[10, 3, :] = strokes[10, -3, :] = strokes[2, :, 18] = strokes[-2, :, 18] = 9
    start = start_from_scribbles(mask(strokes), background=9)

    assert set(np.unique(start.array)) == {0, 1}
    assert start.array[strokes == 1].all()
    assert not start.array[strokes == 9].any()
    assert dice(refine(image, start, **PLAIN | {"iterations": 60}).array > 0, TRUTH) > 0.9


def test_what_cannot_be_refined_is_refused(image):
    other = Volume(DAMAGED["eroded"].astype(np.uint8), np.eye(4), kind="labels")
    with pytest.raises(ContractError, match="resample one onto the other"):
        refine(image, other)
    with pytest.raises(ContractError, match=r"lies in 0\.\.1; this image lies in"):
        refine(image, image)
    with pytest.raises(OptionError, match="iterations >= 0"):
        refine(image, mask(TRUTH), iterations=-1)
    with pytest.raises(ContractError, match=r"strokes outside \(label 9\)"):
        start_from_scribbles(mask(TRUTH), background=9)


def test_the_options_have_one_set_of_defaults():
    def defaults(function):
        return {
            p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }

    settings = {field.name: field.default for field in dataclasses.fields(_Settings)}
    assert defaults(refine) == {**settings, "fixed": None, "every": 5, "on_iteration": None}
    assert defaults(make_step) == {**settings, "every": 5}


def test_by_its_name_it_shows_the_contour_on_the_way(image):
    seen = []
    bad = mask(DAMAGED["eroded"])
    after = medseg.refine(
        image, bad, "contours:tdac", iterations=12, every=4, on_labels=lambda n, v: seen.append((n, v))
    )

    assert [n for n, _ in seen] == [4, 8, 12]
    np.testing.assert_array_equal(seen[-1][1].array, after.array)
    np.testing.assert_array_equal(after.array, refine(image, bad, iterations=12).array)


def test_labels_move_as_if_they_were_alone():
    first, second = distance_to((10.0, 10.0, 10.0)) < 7, distance_to((28.0, 26.0, 26.0)) < 7
    image = Volume((100.0 * first + 60.0 * second).astype(np.float32), AFFINE)
    both = mask(first + 2 * ndimage.binary_dilation(second))
    together = refine(image, both, **PLAIN).array
    alone = refine(image, mask(first), **PLAIN).array

    np.testing.assert_array_equal(together == 1, alone == 1)


def test_the_contour_itself_is_finer_than_its_voxels(image):
    """Where phi crosses 0 between two neighbours, that is 10 mm from the middle but for the noise."""
    bad = mask(DAMAGED["dilated"])
    phi = refine_contour(image, bad, **PLAIN)
    away = distance_to((19.0, 17.5, 17.5))
    radii = []
    for axis in range(3):
        a, b = (
            np.take(phi.array, range(SHAPE[axis] - 1), axis),
            np.take(phi.array, range(1, SHAPE[axis]), axis),
        )
        r, s = np.take(away, range(SHAPE[axis] - 1), axis), np.take(away, range(1, SHAPE[axis]), axis)
        crossing = (a > 0) != (b > 0)
        part = a[crossing] / (a[crossing] - b[crossing])
        radii.append(r[crossing] + part * (s - r)[crossing])

    np.testing.assert_array_equal(phi.array > 0, refine(image, bad, **PLAIN).array > 0)
    assert np.abs(np.concatenate(radii) - 10).mean() < 0.5
    assert (refine_contour(image, mask(np.zeros(SHAPE))).array < 0).all()


def test_outlines_in_two_slices_become_a_solid_between_and_beyond_them(image):
    drawn = np.zeros(SHAPE, np.uint8)
    for number in (7, 12):
        filled = TRUTH[number]
        drawn[number] = 5 * (filled & ~ndimage.binary_erosion(filled))
    start = start_from_outlines(mask(drawn))

    assert set(np.unique(start.array)) == {0, 5}
    for number in (7, 12):
        np.testing.assert_array_equal(start.array[number] == 5, TRUTH[number])
    assert dice(start.array > 0, TRUTH) > 0.85
    assert dice(refine(image, start, **PLAIN).array > 0, TRUTH) > 0.95


def test_an_outline_in_one_slice_becomes_a_lens_that_grows_to_the_object(image):
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[9] = TRUTH[9] & ~ndimage.binary_erosion(TRUTH[9])
    start = start_from_outlines(mask(drawn))
    heights = np.flatnonzero(start.array.any(axis=(1, 2)))

    assert 3 <= len(heights) <= 11
    assert dice(refine(image, start, **PLAIN | {"iterations": 40}).array > 0, TRUTH) > 0.95


def test_drawings_become_contours_by_name(image):
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[10, 14:22, 18] = 1
    strokes[10, 3, :] = strokes[2, :, 18] = 2
    filled = medseg.refine(image, mask(strokes), "fill-scribbles")
    np.testing.assert_array_equal(filled.array, start_from_scribbles(mask(strokes), background=2).array)
    drawn = mask(DAMAGED["eroded"] & (np.arange(SHAPE[0]) == 9)[:, None, None])
    solid = medseg.refine(image, drawn, "fill-outlines")
    assert solid.array.sum() > drawn.array.sum()
    with pytest.raises(ContractError, match="with some label above 0"):
        start_from_outlines(mask(np.zeros(SHAPE)))


def test_what_is_as_bright_but_not_joined_to_the_object_stays_outside():
    """A shell around the ball, as the scalp around the brain, with a thin bridge to it."""
    r = distance_to((19.0, 17.5, 17.5))
    core, shell = r < 9, (r > 13) & (r < 17)
    bridge = np.zeros(SHAPE, bool)
    bridge[9, 17, 17:] = r[9, 17, 17:] < 14
    rng = np.random.default_rng(0)
    image = Volume((100.0 * (core | shell | bridge) + rng.normal(0, 8, SHAPE)).astype(np.float32), AFFINE)
    bad = mask(r < 15)

    by = {
        a: dice(refine(image, bad, **PLAIN | {"appearance": a, "iterations": 60}).array > 0, core)
        for a in ("likeness", "intensity")
    }
    assert by["likeness"] > 0.9 > by["intensity"]


def test_a_good_mask_is_nearly_left_alone(image):
    assert dice(refine(image, mask(TRUTH)).array > 0, TRUTH) > 0.98

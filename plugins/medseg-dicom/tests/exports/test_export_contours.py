"""Outlines enclose exactly the pixels of the mask, whatever its shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as stnp
from matplotlib.path import Path
from medseg_dicom.contours import outline
from skimage.draw import disk

MASKS = stnp.arrays(bool, stnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


def filled(polygons, shape):
    """How many polygons enclose each pixel's centre, as matplotlib sees it."""
    centres = np.indices(shape).reshape(2, -1).T
    paths = [Path(np.vstack([polygon, polygon[:1]]), closed=True) for polygon in polygons]
    return sum((p.contains_points(centres).reshape(shape) for p in paths), np.zeros(shape, int))


def area(polygon):
    """Positive if it turns clockwise where rows grow downwards."""
    row, column = polygon.T
    return float(column @ np.roll(row, -1) - np.roll(column, -1) @ row) / 2


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_each_pixel_of_the_mask_is_in_one_outline_and_no_other_pixel_in_any(mask):
    assert np.array_equal(filled(outline(mask), mask.shape), mask)


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_the_area_is_that_of_the_pixels_and_every_outline_turns_clockwise(mask):
    areas = [area(polygon) for polygon in outline(mask)]
    assert sum(areas) == mask.sum()
    assert all(one > 0 for one in areas)


def test_one_pixel_is_a_square_about_its_centre():
    mask = np.zeros((4, 5), bool)
    mask[2, 3] = True
    (polygon,) = outline(mask)
    assert polygon.tolist() == [[1.5, 2.5], [1.5, 3.5], [2.5, 3.5], [2.5, 2.5]]


def test_straight_sides_have_corners_at_their_ends_alone():
    (polygon,) = outline(np.ones((30, 40), bool))
    assert len(polygon) == 4


@pytest.mark.parametrize(("holes", "pieces"), [(0, 1), (1, 2), (2, 3)])
def test_a_region_with_holes_is_cut_beside_them(holes, pieces):
    mask = np.zeros((60, 60), bool)
    mask[disk((30, 30), 25)] = True
    for number in range(holes):
        mask[disk((20 + 20 * number, 30), 6)] = False
    assert len(outline(mask)) == pieces
    assert np.array_equal(filled(outline(mask), mask.shape), mask)


def test_a_bay_that_opens_at_a_corner_alone_is_no_hole():
    mask = np.ones((3, 3), bool)
    mask[1, 1] = mask[2, 2] = False
    assert len(outline(mask)) == 1


def test_pixels_that_touch_at_a_corner_are_two_regions():
    assert len(outline(np.eye(2, dtype=bool))) == 2


def test_nothing_has_no_outline():
    assert outline(np.zeros((3, 3), bool)) == []

"""A contour that is told where to stay, and that tells where it is."""

import numpy as np
import pytest
from medseg_contours.refine import refine

import medseg
from medseg import Cancelled, ContractError, Volume


def ball(shape, centre, radius):
    grid = np.indices(shape).reshape(3, -1).T - np.array(centre)
    return (np.linalg.norm(grid, axis=1) <= radius).reshape(shape)


@pytest.fixture
def scene():
    """A bright ball, and a mask that is too small by two voxels."""
    shape = (40, 40, 40)
    rng = np.random.default_rng(0)
    bright = ball(shape, (20, 20, 20), 10)
    image = Volume((100.0 * bright + rng.normal(0, 5, shape)).astype(np.float32), np.eye(4))
    mask = image.with_array(ball(shape, (20, 20, 20), 8).astype(np.uint8), kind="labels")
    return image, mask


def test_what_is_fixed_keeps_its_label_and_the_rest_follows_the_image(scene):
    image, mask = scene
    edited, fixed = mask.array.copy(), np.zeros(mask.shape, np.uint8)
    edited[20, 20, 32:36], fixed[20, 20, 32:36] = 1, 1  # outside the ball, marked as inside
    edited[18:23, 18:23, 20], fixed[18:23, 18:23, 20] = 0, 1  # inside it, marked as outside
    start = mask.with_array(edited)
    free = refine(image, start, iterations=10)
    held = refine(image, start, iterations=10, fixed=mask.with_array(fixed))
    where = fixed != 0
    np.testing.assert_array_equal(held.array[where], edited[where])
    assert (free.array[where] != edited[where]).any()
    beside = ball(mask.shape, (20, 20, 20), 10) & ~ball(mask.shape, (20, 20, 20), 8.5)
    assert held.array[beside].mean() > 0.8  # the rest still follows the image


def test_the_step_tells_its_labels_on_the_way_and_ends_when_the_listener_says_so(scene):
    image, mask = scene
    told = []
    moved = medseg.refine(
        image, mask, "tdac", iterations=6, every=2, on_labels=lambda done, now: told.append((done, now))
    )
    assert [done for done, _ in told] == [2, 4, 6]
    np.testing.assert_array_equal(told[-1][1].array, moved.array)
    sizes = [int(now.array.sum()) for _, now in told]
    assert sizes[0] < sizes[-1]

    def stop(*_):
        raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        medseg.refine(image, mask, "tdac", on_labels=stop)


def test_strokes_become_an_object(scene):
    image, _ = scene
    strokes = np.zeros(image.shape, np.uint8)
    strokes[20, 20, 16:25] = 1
    strokes[5, 5, 5:35] = strokes[35, 20, 5:35] = strokes[20, 35, 5:35] = strokes[20, 5, 5:35] = 8
    drawn = image.with_array(strokes, kind="labels")
    first = medseg.refine(image, drawn, "fill-scribbles")
    found = medseg.refine(image, first, "tdac", iterations=60)
    truth = ball(image.shape, (20, 20, 20), 10)
    dice = 2 * (found.array[truth] == 1).sum() / ((found.array == 1).sum() + truth.sum())
    assert dice > 0.9
    assert (found.array[strokes == 1] == 1).all()
    assert (found.array[strokes == 8] == 0).all()


def test_a_step_that_is_not_steered_leaves_what_is_fixed_too(scene):
    image, mask = scene
    edited, fixed = mask.array.copy(), np.zeros(mask.shape, np.uint8)
    edited[3, 3, 3], fixed[3, 3, 3] = 1, 1
    kept = medseg.refine(
        image, mask.with_array(edited), "builtin:largest-component", fixed=mask.with_array(fixed)
    )
    assert kept.array[3, 3, 3] == 1


def test_a_mask_of_fixed_voxels_on_another_grid_is_refused(scene):
    image, mask = scene
    moved = Volume(mask.array, np.diag([2.0, 1, 1, 1]), kind="labels")
    with pytest.raises(ContractError, match="fixed voxels"):
        refine(image, mask, fixed=moved)

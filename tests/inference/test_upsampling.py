"""Boundary-only upsampling: equal to interpolating every class in float64, wherever that is clear."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg.inference import upsampling
from medseg.inference.upsampling import classify

GRIDS = [
    # network's grid, wanted grid: finer, coarser, mixed, one row, unmoved
    ((14, 12, 10), (31, 29, 25)),
    ((14, 12, 10), (6, 7, 5)),
    ((14, 12, 10), (14, 40, 3)),
    ((1, 9, 8), (1, 30, 20)),
    ((14, 12, 10), (14, 12, 10)),
]


def smooth_scores(classes, shape, sigma=2.0, seed=0):
    """Scores whose classes form regions, as those of a trained network do."""
    noise = np.random.default_rng(seed).normal(size=(classes, *shape))
    return ndimage.gaussian_filter(noise, (0, sigma, sigma, sigma)).astype(np.float32)


def positions(source, wanted):
    """Centres of the wanted voxels when both grids cover the same field of view."""
    return tuple(
        np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1) for n, m in zip(source, wanted, strict=True)
    )


def full(scores, wanted):
    """Every class in full, by torch in float64, and how far the best is ahead."""
    values = torch.nn.functional.interpolate(
        torch.from_numpy(scores).double()[None], size=wanted, mode="trilinear", align_corners=False
    )[0]
    if len(scores) == 1:
        values = torch.cat([torch.zeros_like(values), values])
    best = values.topk(2, dim=0)
    return best.indices[0].numpy(), (best.values[0] - best.values[1]).numpy()


@pytest.mark.parametrize(("source", "wanted"), GRIDS)
@pytest.mark.parametrize("classes", [1, 3, 25, 300])
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_it_gives_what_all_classes_in_full_give(source, wanted, classes, sigma):
    scores = smooth_scores(classes, source, sigma)
    expected, ahead = full(scores, wanted)
    clear = ahead > 1e-6 * np.abs(scores).max()
    assert clear.mean() > 0.999

    found = classify(scores, positions(source, wanted))

    np.testing.assert_array_equal(found[clear], expected[clear])


def test_only_points_near_a_boundary_are_interpolated(monkeypatch):
    scores = smooth_scores(5, (16, 16, 16), sigma=4.0)
    counts = []
    winners = upsampling._Boundary.winners
    monkeypatch.setattr(
        upsampling._Boundary, "winners", lambda self, kind: counts.append(0) or winners(self, kind)
    )
    monkeypatch.setattr(upsampling, "_classify_all", lambda *_: pytest.fail("all classes in full"))
    classify(scores, positions((16, 16, 16), (40, 40, 40)))
    assert counts == [0]


def test_a_class_that_is_nowhere_largest_on_the_networks_grid_can_win_between_its_voxels():
    scores = np.zeros((3, 2, 1, 1), np.float32)
    scores[0], scores[1], scores[2] = [[[9]], [[0]]], [[[0]], [[9]]], [[[8]], [[8]]]
    found = classify(scores, (np.array([0, 0.25, 0.5, 0.75, 1]), np.zeros(1), np.zeros(1)))
    assert found.ravel().tolist() == [0, 2, 2, 2, 1]


def test_the_dense_way_and_the_boundary_give_the_same_classes(monkeypatch):
    scores = smooth_scores(7, (12, 12, 12), sigma=0.7)
    points = positions((12, 12, 12), (30, 17, 25))
    monkeypatch.setattr(upsampling, "_DENSE", 1.0)
    near = classify(scores, points)
    monkeypatch.setattr(upsampling, "_DENSE", -1.0)
    np.testing.assert_array_equal(classify(scores, points), near)


def test_points_are_worked_on_in_parts_without_a_trace(monkeypatch):
    scores = smooth_scores(4, (12, 12, 12))
    points = positions((12, 12, 12), (30, 17, 25))
    whole = classify(scores, points)
    monkeypatch.setattr(upsampling, "_POINTS", 37)
    np.testing.assert_array_equal(classify(scores, points), whole)

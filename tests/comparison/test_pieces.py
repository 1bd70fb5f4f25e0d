"""Pieces of a label, and the metrics of them."""

import numpy as np
import pytest
from scipy import ndimage

from medseg.builtin.metrics.instances import LesionF1, PanopticQuality, RecognitionQuality
from medseg.comparison.pieces import find_pieces


def lesions():
    """Three true lesions: one found well, one barely, one missed; and one that is none."""
    truth, predicted = np.zeros((2, 40, 20, 20), np.uint8)
    truth[2:8, 2:8, 2:8] = truth[12:18, 2:8, 2:8] = truth[22:24, 2:4, 2:4] = 1
    predicted[2:8, 2:8, 2:7] = predicted[17:20, 2:8, 2:8] = predicted[30:34, 2:4, 2:4] = 1
    return truth, predicted


def test_by_overlap_two_of_three_are_found_by_two_of_three(pair_of):
    assert LesionF1().of(pair_of(*lesions()))[1] == pytest.approx(2 / 3)


def test_by_iou_one_is(pair_of):
    pair = pair_of(*lesions())
    assert LesionF1(match="iou").of(pair)[1] == pytest.approx(1 / 3)
    assert RecognitionQuality().of(pair)[1] == pytest.approx(1 / 3)
    assert PanopticQuality().of(pair)[1] == pytest.approx((5 / 6) / 3)


def test_small_pieces_can_be_left_out(pair_of):
    pair = pair_of(*lesions(), (1, 1, 2))
    # 8 voxels of 2 mm3 are 0.016 mL: a piece of just that size stays.
    assert LesionF1(smallest_ml=0.016).of(pair)[1] == pytest.approx(2 / 3)
    assert LesionF1(smallest_ml=0.0161).of(pair)[1] == pytest.approx(2 * 1 * (2 / 3) / (5 / 3))


def test_an_iou_of_exactly_the_threshold_is_no_match(pair_of):
    truth, predicted = np.zeros((2, 4, 4), np.uint8)
    truth[0, :2], predicted[0, 0] = 1, 1
    pair = pair_of(truth, predicted, (1, 1))
    assert [RecognitionQuality(iou=iou).of(pair)[1] for iou in (0.5, 0.49)] == [0, 1]


def test_below_one_half_the_best_assignment_is_taken(pair_of):
    # The first true piece fits both predicted ones, the second fits only the better one.
    truth, predicted = np.zeros((2, 1, 30), np.uint8)
    truth[0, 0:10], truth[0, 11:15] = 1, 1
    predicted[0, 0:4], predicted[0, 5:15] = 1, 1
    pieces = pair_of(truth, predicted, (1, 1)).pieces(1, "faces", 0)
    assert pieces.overlap.tolist() == [[0, 0, 1], [1, 4, 5], [0, 0, 4]]
    assert pieces.match(0.1) == [(0, 0), (1, 1)]


@pytest.mark.parametrize(("connectivity", "pieces"), [("faces", 3), ("edges", 2), ("corners", 1)])
def test_connectivity(pair_of, connectivity, pieces):
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[0, 0, 0] = truth[1, 1, 0] = truth[2, 2, 1] = 1
    found = pair_of(truth, truth).pieces(1, connectivity, 0)
    assert len(found.true_voxels) == pieces


@pytest.mark.parametrize(
    "shape", [(9,), (1,), (7, 9), (1, 9), (6, 5, 7), (1, 8, 9), (8, 1, 9), (8, 9, 1), (9, 1, 1), (1, 1, 1)]
)
@pytest.mark.parametrize(("connectivity", "axes"), [("faces", 1), ("edges", 2), ("corners", 3)])
def test_pieces_are_scipys_on_volumes_planes_and_lines(shape, connectivity, axes):
    structure = ndimage.generate_binary_structure(len(shape), min(axes, len(shape)))
    for seed in range(60):
        mask = np.random.default_rng(seed).random(shape) < 0.1 + 0.01 * seed
        found = find_pieces(mask, mask, connectivity=connectivity, smallest=1).truth
        expected, count = ndimage.label(mask, structure)
        pairs = set(zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))
        assert len(pairs) == found.max() + (not mask.all())  # one number is one number
        assert found.max() == count
        np.testing.assert_array_equal(found > 0, mask)

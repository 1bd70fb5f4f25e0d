"""Centrelines, bands along borders, and probabilities."""

import numpy as np
import pytest
from skimage.morphology import skeletonize

from medseg.builtin.metrics.calibration import BrierScore, ExpectedCalibrationError
from medseg.builtin.metrics.shape import BoundaryIoU, CentrelineDice
from medseg.comparison.pair import Pair


def tube():
    truth = np.zeros((40, 15, 15), np.uint8)
    truth[2:38, 5:10, 5:10] = 1
    return truth


def test_a_gap_in_a_tube_costs_centreline_and_thickness_does_not(pair_of):
    truth = tube()
    thin, cut = np.zeros((2, *truth.shape), np.uint8)
    thin[2:38, 6:9, 6:9] = 1
    cut[:] = truth
    cut[15:25] = 0
    assert CentrelineDice().of(pair_of(truth, thin))[1] > 0.95
    assert CentrelineDice().of(pair_of(truth, cut))[1] < 0.9


def test_cldice_is_its_definition(pair_of):
    truth, predicted = tube(), np.roll(tube(), (3, 1, 0), (0, 1, 2))
    lines = [skeletonize(mask.astype(bool)) for mask in (predicted, truth)]
    precision = (lines[0] & (truth > 0)).sum() / lines[0].sum()
    sensitivity = (lines[1] & (predicted > 0)).sum() / lines[1].sum()
    expected = 2 * precision * sensitivity / (precision + sensitivity)
    assert CentrelineDice().of(pair_of(truth, predicted))[1] == pytest.approx(expected)


def test_a_mask_whose_skeleton_would_vanish_is_its_own_centreline(pair_of):
    dot = np.zeros((5, 5, 5), np.uint8)
    dot[2, 2, 2] = 1
    assert CentrelineDice().of(pair_of(dot, dot))[1] == 1


def test_a_band_of_two_pixels_by_hand(pair_of):
    truth, predicted = np.zeros((2, 20, 20), np.uint8)
    truth[2:12, 2:12], predicted[3:13, 2:12] = 1, 1
    ours, theirs = truth.copy(), predicted.copy()
    ours[4:10, 4:10], theirs[5:11, 4:10] = 0, 0
    expected = (ours & theirs).sum() / (ours | theirs).sum()
    assert BoundaryIoU(width_mm=2).of(pair_of(truth, predicted, (1, 1)))[1] == pytest.approx(expected)
    # Borders of coarse voxels are in the band however narrow it is.
    assert BoundaryIoU(width_mm=0.1).of(pair_of(truth, truth, (1, 1)))[1] == 1


def test_a_band_along_a_line_of_voxels_by_hand(pair_of):
    truth, predicted = np.zeros((2, 20, 1, 1), np.uint8)
    truth[2:12], predicted[3:13] = 1, 1
    # Bands of two voxels of 0.5 mm at either end: 2, 3, 10, 11 and 3, 4, 11, 12.
    assert BoundaryIoU(width_mm=1).of(pair_of(truth, predicted, (0.5, 1, 1)))[1] == 2 / 6


@pytest.fixture
def known(labels_of):
    """Four voxels of which two are the label, and what was said of each."""

    def make(probabilities):
        p = np.array(probabilities).reshape(4, 1, 1)
        predicted, truth = labels_of((p > 0.5).astype(np.uint8)), labels_of([[[0]], [[0]], [[1]], [[1]]])
        return Pair(predicted, truth, probabilities={1: p})

    return make


def test_brier_and_calibration_error_by_hand(known):
    pair = known([0.1, 0.4, 0.6, 0.9])
    assert BrierScore().of(pair)[1] == pytest.approx((0.01 + 0.16 + 0.16 + 0.01) / 4)
    assert ExpectedCalibrationError(bins=10).of(pair)[1] == pytest.approx((0.1 + 0.4 + 0.4 + 0.1) / 4)
    assert ExpectedCalibrationError(bins=2).of(pair)[1] == pytest.approx((0.5 + 0.5) / 4)
    assert ExpectedCalibrationError(bins=1).of(pair)[1] == pytest.approx(0, abs=1e-12)


def test_certainty_that_is_right_is_perfect(known):
    pair = known([0.0, 0.0, 1.0, 1.0])
    assert (BrierScore().of(pair)[1], ExpectedCalibrationError().of(pair)[1]) == (0, 0)


def test_a_label_map_is_certain(pair_of):
    truth, predicted = np.zeros((2, 10, 10), np.uint8)
    truth[:4], predicted[:5] = 1, 1
    pair = pair_of(truth, predicted, (1, 1))
    assert BrierScore().of(pair)[1] == ExpectedCalibrationError().of(pair)[1] == pytest.approx(0.1)
    assert BrierScore(region="box").of(pair)[1] == pytest.approx(0.2)


def test_slabs_change_nothing(known, monkeypatch):
    monkeypatch.setattr("medseg.builtin.metrics.calibration._SLAB", 3)
    pair = known([0.1, 0.4, 0.6, 0.9])
    assert BrierScore().of(pair)[1] == pytest.approx(0.085)
    assert ExpectedCalibrationError(bins=2).of(pair)[1] == pytest.approx(0.25)

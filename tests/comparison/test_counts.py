"""Confusion matrices and the metrics that are read from them."""

import math

import numpy as np
import pytest

from medseg.builtin.metrics import confusion, overlap, size
from medseg.comparison.pair import Pair
from medseg.errors import VolumeError
from medseg.volume import Volume

TRUTH = np.array([[0, 0, 1, 1], [0, 2, 2, 2]])
PREDICTED = np.array([[0, 1, 1, 2], [0, 2, 2, 0]])
# Rows true, columns predicted: [[2, 1, 0], [0, 1, 1], [1, 0, 2]].


@pytest.fixture
def pair(pair_of):
    return pair_of(TRUTH, PREDICTED, (2, 5))


def test_the_matrix_has_rows_true_and_columns_predicted(pair):
    assert pair.joint.tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 2]]
    c = pair.counts(2)
    assert (c.tp, c.fp, c.fn, c.tn) == (2, 1, 1, 4)


def test_metrics_of_the_whole_map(pair):
    assert confusion.PixelAccuracy().of_map(pair) == 5 / 8
    assert confusion.MeanPixelAccuracy().of_map(pair) == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert confusion.MeanIoU().of_map(pair) == pytest.approx((2 / 4 + 1 / 3 + 2 / 4) / 3)
    assert confusion.MeanIoU(background=False).of_map(pair) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert confusion.FrequencyWeightedIoU().of_map(pair) == pytest.approx(
        (3 * 2 / 4 + 2 * 1 / 3 + 3 * 2 / 4) / 8
    )


def test_a_label_that_one_map_lacks_is_no_nan_in_the_mean(pair_of):
    pair = pair_of(TRUTH, np.where(PREDICTED == 2, 3, PREDICTED), (1, 1))
    assert confusion.MeanIoU(background=False).of_map(pair) == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert confusion.MeanPixelAccuracy().of_map(pair) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_ratios(pair):
    found = {
        type(metric).__name__: metric.of(pair)[2]
        for metric in (
            overlap.Precision(),
            overlap.Recall(),
            overlap.F1(),
            overlap.Dice(),
            overlap.Specificity(),
            overlap.IntersectionOverUnion(),
        )
    }
    assert found == {
        "Precision": pytest.approx(2 / 3),
        "Recall": pytest.approx(2 / 3),
        "F1": pytest.approx(2 / 3),
        "Dice": pytest.approx(2 / 3),
        "Specificity": 4 / 5,
        "IntersectionOverUnion": 1 / 2,
    }


def test_f1_is_dice(pair_of):
    rng = np.random.default_rng(0)
    for _ in range(20):
        pair = pair_of(*rng.integers(0, 2, (2, 6, 6)), (1, 1))
        assert overlap.F1().of_label(pair, 1) == pytest.approx(overlap.Dice().of_label(pair, 1))


def test_precision_of_nothing_and_recall_of_nothing_are_not_defined(pair_of):
    full, empty = np.ones((2, 4, 4), int)
    empty[:] = 0
    assert math.isnan(overlap.Precision().of_label(pair_of(full, empty, (1, 1)), 1))
    assert math.isnan(overlap.Recall().of_label(pair_of(empty, full, (1, 1)), 1))


def test_volumes_are_in_ml(pair_of):
    truth, predicted = np.zeros((2, 20, 20, 20), int)
    truth[:10], predicted[:4] = 1, 1
    pair = pair_of(truth, predicted, (1, 2, 2.5))
    assert size.PredictedVolume().of(pair)[1] == pytest.approx(4 * 400 * 5 / 1000)
    assert size.VolumeDifference().of(pair)[1] == pytest.approx(12)
    assert size.RelativeVolumeDifference().of(pair)[1] == pytest.approx(-0.6)
    assert size.VolumeSimilarity().of(pair)[1] == pytest.approx(1 - 6 / 14)
    assert size.CentroidDistance().of(pair)[1] == pytest.approx(3)


@pytest.mark.parametrize("values", [(1, 200), (300, 70000), (2**31 - 1, 5)])
def test_labels_may_be_any_numbers(pair_of, values):
    truth, predicted = (np.take([0, *values], array) for array in (TRUTH, PREDICTED))
    pair = pair_of(truth, predicted, (1, 1))
    assert pair.labels == tuple(sorted(values))
    assert [pair.counts(value).tp for value in values] == [1, 2]
    assert pair.box(values[0]) == (slice(0, 1), slice(1, 4))
    assert overlap.Dice().of(pair)[values[1]] == pytest.approx(2 / 3)


def test_counting_in_slabs_is_counting(pair_of, monkeypatch):
    monkeypatch.setattr("medseg.comparison.counts._SLAB", 3)
    assert pair_of(TRUTH, PREDICTED, (1, 1)).joint.tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 2]]


def test_other_grids_are_refused_with_both():
    truth = Volume(np.ones((4, 4, 4), np.uint8), np.eye(4), kind="labels")
    other = Volume(np.ones((4, 4, 5), np.uint8), np.eye(4), kind="labels")
    with pytest.raises(VolumeError, match=r"4 x 4 x 5 voxels .* 4 x 4 x 4 voxels .*resample"):
        Pair(other, truth)
    moved = Volume(truth.array, np.diag([1.0, 1, 1.1, 1]), kind="labels")
    with pytest.raises(VolumeError, match=r"affines differ by up to 0\.1; resample"):
        Pair(moved, truth)
    with pytest.raises(VolumeError, match="the prediction is an image, wanted a label map"):
        Pair(Volume(np.ones((4, 4, 4)), np.eye(4)), truth)


def test_distances_on_a_sheared_grid_are_refused_and_overlap_is_not():
    sheared = np.eye(4)
    sheared[0, 2] = 0.3
    volume = Volume(np.ones((4, 4, 4), np.uint8), sheared, kind="labels")
    pair = Pair(volume, volume)
    assert overlap.Dice().of(pair) == {1: 1.0}
    with pytest.raises(VolumeError, match=r"not at right angles \(cosine 0\.287\)"):
        pair.distances(1, "voxels")

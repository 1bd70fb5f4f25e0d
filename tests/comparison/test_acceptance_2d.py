"""Exact values of metrics in two dimensions, those of panoptica's own tests among them."""

import math

import numpy as np
import pytest

from medseg.builtin.metrics import surface as s
from medseg.builtin.metrics.overlap import Dice, IntersectionOverUnion
from medseg.builtin.metrics.size import CentroidDistance, RelativeVolumeDifference


def rows(text):
    return np.array([[int(c) for c in row] for row in text.split("/")], np.uint8)


SQ, OV = rows("0000/0110/0110/0000"), rows("0010/1110/1111/0110")
NO = rows("0101/0101/0100/0100")
LP, LR = rows("1110/1110/1110/1000"), rows("0000/0000/0011/0011")
P1, P2 = rows("1100/1100/1100/1100"), rows("0110/0110/0110/0110")


def exactly(value, digits=10):
    """To the last digit given; one of the sources cuts digits off instead of rounding them."""
    return pytest.approx(value, abs=10**-digits)


@pytest.fixture
def value(pair_of):
    def compute(metric, truth, predicted, spacing_mm=(1, 1)):
        return metric.of_label(pair_of(truth, predicted, spacing_mm), 1)

    return compute


def hd95(convention):
    return s.HausdorffPercentile(convention=convention)


def assd(convention):
    return s.AverageSurfaceDistance(convention=convention)


def nsd(tolerance_mm, convention="pooled"):
    return s.SurfaceDice(tolerance_mm=tolerance_mm, convention=convention)


RVD, CENTROID = RelativeVolumeDifference(), CentroidDistance()


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Dice(), 4 / 7),
        (IntersectionOverUnion(), 0.4),
        (RVD, 1.5),
        (s.HausdorffDistance(), 1),
        (hd95("max-directed"), 1),
        (hd95("pooled"), 1),
        (assd("mean-directed"), 0.625),
        (assd("pooled"), 2 / 3),
        (nsd(0.5, "mean-directed"), 0.375),
        (nsd(0.5), 1 / 3),
        (nsd(1), 1),
        (nsd(1, "mean-directed"), 1),
    ],
)
def test_square_in_a_larger_shape(value, metric, expected):
    assert value(metric, SQ, OV) == exactly(expected)


def test_the_same_swapped(value):
    assert value(RVD, OV, SQ) == exactly(-0.6)
    assert value(CENTROID, OV, SQ) == exactly(0.2236067977)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Dice(), 0),
        (RVD, -0.4),
        (s.HausdorffDistance(), 2),
        (hd95("max-directed"), 1.55),
        (hd95("pooled"), 1.25),
        (assd("mean-directed"), 1.05),
        (assd("pooled"), 1.0625),
        (nsd(1), 0.9375),
        (nsd(1, "mean-directed"), 0.95),
    ],
)
def test_complement(value, metric, expected):
    assert value(metric, 1 - NO, NO) == exactly(expected)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (s.HausdorffDistance(), 40),
        (hd95("max-directed"), 31),
        (hd95("pooled"), 25),
        (assd("mean-directed"), 21),
        (assd("pooled"), 21.25),
    ],
)
def test_complement_with_pixels_of_20_mm(value, metric, expected):
    assert value(metric, 1 - NO, NO, (20, 20)) == exactly(expected)


@pytest.mark.parametrize(
    ("metric", "expected", "digits"),
    [
        (Dice(), 1 / 7, 10),
        (IntersectionOverUnion(), 1 / 13, 10),
        (s.HausdorffDistance(), math.sqrt(8), 10),
        (hd95("max-directed"), 2.5914834658, 10),
        (hd95("pooled"), 2.4730116363, 10),
        (assd("mean-directed"), 1.2768, 4),
        (assd("pooled"), 1.4396, 4),
    ],
)
def test_two_corners(value, metric, expected, digits):
    assert value(metric, LR, LP) == exactly(expected, digits)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Dice(), 0.5),
        (IntersectionOverUnion(), 1 / 3),
        (s.HausdorffDistance(), 1),
        (assd("pooled"), 0.5),
        (assd("mean-directed"), 0.5),
        (nsd(0.5), 0.5),
        (CENTROID, 1),
    ],
)
def test_two_stripes(value, metric, expected):
    assert value(metric, P2, P1) == exactly(expected)


def test_two_short_lines_and_their_background(pair_of):
    predicted, truth = np.zeros((2, 10, 10), np.uint8)
    predicted[1:4, 1], truth[5:8, 6] = 1, 1
    lines, ground = pair_of(truth, predicted, (1, 1)), pair_of(1 - truth, 1 - predicted, (1, 1))
    assert s.HausdorffDistance().of(lines)[1] == exactly(6.4031242374)
    assert hd95("max-directed").of(lines)[1] == exactly(6.3459070032)
    assert hd95("pooled").of(lines)[1] == exactly(6.4031242374)
    assert assd("pooled").of(lines)[1] == exactly(5.873080, 6)
    found = [nsd(tolerance).of(lines)[1] for tolerance in (0, 5.5, 6)]
    assert found == exactly([0, 1 / 3, 2 / 3])
    found = [nsd(tolerance).of(ground)[1] for tolerance in (0, 2.8, 3)]
    assert found == exactly([1 - 12 / 84, 1 - 3 / 84, 1 - 1 / 84])


def test_labels_of_one_against_labels_of_the_other(pair_of):
    predicted, truth = np.zeros((2, 30, 30), np.uint8)
    truth[1:10, 1:10], truth[11:20, 11:20] = 1, 2
    predicted[1:3, 1:3], predicted[7:13, 7:13] = 1, 2
    both = pair_of(truth, predicted, (1, 1))
    assert Dice().of(both) == {1: exactly(0.094117647, 9), 2: exactly(0.068376068, 9)}
    binary = pair_of(truth > 0, predicted > 0, (1, 1))
    assert Dice().of(binary)[1] == exactly(2 * 17 / (162 + 40))
    # panoptica's test prints 0.106583072 here: it divides by the sum of the labels' values, 243 + 76.
    assert 2 * 17 / (int(truth.sum()) + int(predicted.sum())) == exactly(0.106583072, 9)
    crossed = [(truth == 1, predicted == 2), (truth == 2, predicted == 1)]
    assert [Dice().of(pair_of(t, p, (1, 1)))[1] for t, p in crossed] == [exactly(0.153846154, 9), 0]


def test_pieces_of_contour_of_two_points():
    # DeepMind's own test: four pieces of length sqrt(5) / 2, at 1, 1, 2 and 2 mm.
    predicted, truth = np.zeros((2, 128, 128), bool)
    truth[50, 70], predicted[50, 72] = 1, 1
    from medseg.comparison.surfaces import surface_distances

    found = surface_distances(predicted, truth, (2, 1), "area")
    for direction in (found.truth_to_predicted, found.predicted_to_truth):
        assert direction.mm.tolist() == [1, 2]
        assert direction.weight.tolist() == exactly([math.sqrt(5), math.sqrt(5)])


def test_an_image_of_one_slice_is_an_image_of_two_axes(pair_of):
    for axis in range(3):
        truth, predicted = np.expand_dims(SQ, axis), np.expand_dims(OV, axis)
        pair = pair_of(truth, predicted, (1, 1, 1))
        assert (pair.truth.ndim, assd("pooled").of(pair)[1]) == (2, exactly(2 / 3))

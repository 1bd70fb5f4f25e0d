"""What metrics say where one side lacks a label, or both do."""

import math

import numpy as np
import pytest

import medseg
from medseg.builtin.metrics import surface as s
from medseg.builtin.metrics.descriptions import METRICS
from medseg.builtin.metrics.overlap import Dice
from medseg.registry import default_registry

NAN, INF = math.nan, math.inf


def masks():
    full = np.zeros((16, 16, 16), np.uint8)
    full[4:8, 4:8, 4:8] = 1
    empty = np.zeros_like(full)
    return {"false alarm": (empty, full), "missed": (full, empty), "both empty": (empty, empty)}


def area(metric, **options):
    return metric(convention="area-weighted", **options)


TO_PREDICTED, TO_TRUTH = "truth-to-predicted", "predicted-to-truth"


@pytest.mark.parametrize(
    ("metric", "false_alarm", "missed", "both_empty"),
    [
        (area(s.AverageSurfaceDistance, direction=TO_PREDICTED), NAN, INF, NAN),
        (area(s.AverageSurfaceDistance, direction=TO_TRUTH), INF, NAN, NAN),
        (area(s.HausdorffDistance), INF, INF, NAN),
        (area(s.HausdorffPercentile), INF, INF, NAN),
        (area(s.SurfaceDice), 0, 0, NAN),
        (s.HausdorffDistance(), INF, INF, NAN),
        (s.HausdorffPercentile(), INF, INF, NAN),
        (s.HausdorffPercentile(convention="pooled"), INF, INF, NAN),
        (s.AverageSurfaceDistance(), INF, INF, NAN),
        (s.AverageSurfaceDistance(convention="mean-directed"), INF, INF, NAN),
        (s.MeanAverageSurfaceDistance(), INF, INF, NAN),
        (s.SurfaceDice(), 0, 0, NAN),
        (s.SurfaceDice(convention="mean-directed"), 0, 0, NAN),
        (Dice(), 0, 0, NAN),
    ],
)
def test_raw_values(pair_of, metric, false_alarm, missed, both_empty):
    expected = {"false alarm": false_alarm, "missed": missed, "both empty": both_empty}
    for state, (truth, predicted) in masks().items():
        value = metric.of_label(pair_of(truth, predicted), 1)
        assert value == pytest.approx(expected[state], nan_ok=True), state


DIAGONAL = math.sqrt(3) * 16


@pytest.mark.parametrize(
    ("policy", "state", "dice", "hd95"),
    [
        ("exclude", "missed", NAN, NAN),
        ("exclude", "false alarm", NAN, NAN),
        ("exclude", "both empty", NAN, NAN),
        ("penalise", "missed", 0, DIAGONAL),
        ("penalise", "false alarm", 0, DIAGONAL),
        ("penalise", "both empty", NAN, NAN),
        ("inf", "missed", 0, INF),
        ("inf", "false alarm", 0, INF),
        ("inf", "both empty", NAN, NAN),
        ("brats", "missed", 0, DIAGONAL),
        ("brats", "false alarm", 0, DIAGONAL),
        ("brats", "both empty", 1, 0),
    ],
)
def test_policies(policy, state, dice, hd95):
    truth, predicted = masks()[state]
    scores = medseg.evaluate(
        predicted, truth, metrics=["dice", "hd95"], labels=[1], spacing_mm=(1, 1, 1), empty=policy
    )
    assert [row.state for row in scores] == [state, state]
    assert [row.value for row in scores] == pytest.approx([dice, hd95], nan_ok=True)


def test_the_penalty_of_a_brats_image_is_the_one_that_its_challenges_name(pair_of):
    truth = np.zeros((240, 240, 155), np.uint8)
    assert pair_of(truth, truth).diagonal_mm == pytest.approx(373.13, abs=0.005)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("state", masks())
def test_no_metric_raises_or_is_perfect_for_a_label_that_is_missing(pair_of, metric, state):
    registry = default_registry()
    compute = registry.load(registry.find("metric", f"builtin:{metric.name}"))()
    truth, predicted = masks()[state]
    value = compute.of_label(pair_of(truth, predicted), 1)
    assert isinstance(value, float)
    if state != "both empty" and not metric.defined_if_empty:
        assert value != (1 if metric.higher_is_better else 0)
    if state == "both empty" and not metric.defined_if_empty:
        assert math.isnan(value)

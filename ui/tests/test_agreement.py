"""Two label maps of one image: where they differ, and by how much."""

import numpy as np
import pytest
import torch
from medseg_ui.agreement import compare, error_map
from monai.metrics import DiceMetric

import medseg.builtin.plugin
from medseg import Registry, Volume, VolumeError


def two_maps():
    rng = np.random.default_rng(3)
    return [
        Volume(rng.integers(0, 3, (8, 9, 10)).astype(np.uint8), np.eye(4), kind="labels") for _ in range(2)
    ]


def test_dice_is_that_of_monai():
    first, second = two_maps()
    rows, _ = compare(first, second, {1: "brain"})
    one_hot = [torch.from_numpy(np.stack([v.array == n for n in range(3)])[None]) for v in (first, second)]
    expected = DiceMetric(include_background=False, reduction="none")(*one_hot)[0]
    assert [row["dice"] for row in rows] == pytest.approx(expected.tolist())
    assert [row["name"] for row in rows] == ["brain", "label 2"]


def test_the_error_map_tells_agreement_misses_and_surplus_apart():
    first, second = np.array([0, 1, 1, 0, 2]), np.array([0, 1, 0, 1, 1])
    assert error_map(first, second).tolist() == [0, 1, 2, 3, 4]


def test_a_metric_that_fails_leaves_out_its_column_alone():
    from medseg.plugin import Metric, hookimpl

    class Plugin:
        MEDSEG_API = 1

        @hookimpl
        def medseg_metrics(self):
            yield Metric(
                name="nothing", factory="nowhere:nothing", summary="-", unit="", higher_is_better=True
            )

    registry = Registry.of(builtin=medseg.builtin.plugin, bad=Plugin())
    rows, problems = compare(*two_maps(), {}, registry=registry)
    assert all("nothing" not in row and "dice" in row for row in rows)
    assert [problem.startswith("The metric bad:nothing cannot be used") for problem in problems] == [True]


def test_distances_between_cubes_are_known_and_a_missing_label_has_none():
    first = np.zeros((20, 20, 20), np.uint8)
    second = first.copy()
    first[4:10, 4:10, 4:10] = second[7:13, 4:10, 4:10] = 1
    second[15:18, 15:18, 15:18] = 2
    maps = [Volume(array, np.diag([2.0, 1, 1, 1]), kind="labels") for array in (first, second)]
    one, two = compare(*maps, {})[0]
    assert one["dice"] == 0.5
    assert one["hd95 (mm)"] == 6.0  # three voxels of 2 mm
    assert 0 < one["nsd"] < 1
    assert (one["first_ml"], one["second_ml"]) == pytest.approx((0.432, 0.432))
    assert (two["dice"], two["hd95 (mm)"], two["first_ml"]) == (0.0, None, 0.0)


def test_maps_on_different_grids_are_not_compared():
    first, second = two_maps()
    moved = Volume(second.array, np.diag([2.0, 1, 1, 1]), kind="labels")
    with pytest.raises(VolumeError, match="grid"):
        compare(first, moved, {})

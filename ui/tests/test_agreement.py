"""Two label maps of one image: where they differ, and by how much."""

import numpy as np
import pytest
import torch
from medseg_ui.agreement import compare, error_map, match_labels, renumber
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


def entries(**names):
    """Entries of a result: number by name."""
    return [{"value": value, "name": name} for name, value in names.items()]


def test_labels_of_one_name_are_compared_whatever_their_numbers():
    first = np.zeros((8, 8, 8), np.uint8)
    second = first.copy()
    first[1:4], second[4:6], second[1:4] = 1, 1, 2  # csf is 1 in the first, and 2 in the second
    maps = [Volume(array, np.eye(4), kind="labels") for array in (first, second)]
    matching = match_labels(entries(csf=1), entries(gm=1, csf=2))
    rows, _ = compare(maps[0], renumber(maps[1], matching.numbers), matching.names)
    assert [(row["name"], row["dice"], row["first_ml"] > 0) for row in rows] == [
        ("csf", 1.0, True),
        ("gm", 0.0, False),
    ]
    assert matching.remarks == [
        "Labels were matched by name; those of the second were renumbered: 2 (csf) as 1, 1 (gm) as 3."
    ]


@pytest.mark.parametrize(
    ("first", "second", "numbers", "names", "remarks"),
    [
        ({"csf": 1, "gm": 2}, {"csf": 1, "gm": 2}, {1: 1, 2: 2}, {1: "csf", 2: "gm"}, 0),
        ({"csf": 1}, {"label 1": 1, "label 2": 2}, {1: 1, 2: 2}, {1: "csf", 2: "label 2"}, 0),
        ({"label 1": 1}, {"csf": 1}, {1: 1}, {1: "csf"}, 0),
        ({"csf": 1, "gm": 2}, {"gm": 1, "csf": 2}, {1: 2, 2: 1}, {1: "csf", 2: "gm"}, 1),
        ({"head": 1}, {"brain": 1}, {1: 1}, {1: "head"}, 1),  # by number, and it is said
        ({"head": 1}, {"brain": 2}, {2: 2}, {1: "head", 2: "brain"}, 0),
        ({"csf": 255}, {"csf": 1, "label 255": 255}, {1: 255, 255: 256}, {255: "csf", 256: "label 255"}, 1),
    ],
)
def test_labels_are_matched_by_name_where_both_have_one(first, second, numbers, names, remarks):
    matching = match_labels(entries(**first), entries(**second))
    assert (matching.numbers, matching.names) == (numbers, names)
    assert len(matching.remarks) == remarks


def test_renumbered_labels_are_none_other_even_beyond_a_byte():
    array = np.array([0, 1, 255, 7], np.uint8).reshape(2, 2, 1)
    renumbered = renumber(Volume(array, np.eye(4), kind="labels"), {1: 255, 255: 256})
    assert renumbered.array.ravel().tolist() == [0, 255, 256, 7]

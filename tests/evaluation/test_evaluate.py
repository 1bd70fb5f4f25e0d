"""medseg.evaluate: volumes, arrays, paths and folders; what it refuses."""

import math

import numpy as np
import pytest

import medseg
from medseg import OptionError, PluginError, Volume, VolumeError
from medseg.plugin import Metric, hookimpl
from medseg.registry import Registry, default_registry


def cubes():
    truth, predicted = np.zeros((2, 30, 30, 30), np.uint8)
    truth[10:20, 10:20, 10:20] = predicted[12:22, 10:20, 10:20] = 1
    truth[2:4, 2:4, 2:4] = 2
    return truth, predicted


def as_volume(array, spacing_mm=(1, 1, 1)):
    return Volume(array, np.diag([*spacing_mm, 1.0]), kind="labels")


def test_arrays_volumes_and_paths_give_the_same_table(tmp_path):
    truth, predicted = cubes()
    by_array = medseg.evaluate(predicted, truth, spacing_mm=(3, 1, 1))
    ours, theirs = as_volume(predicted, (3, 1, 1)), as_volume(truth, (3, 1, 1))
    by_volume = medseg.evaluate(ours, theirs)
    medseg.save(ours, tmp_path / "ours.nii.gz")
    medseg.save(theirs, tmp_path / "theirs.nii")
    by_path = medseg.evaluate(tmp_path / "ours.nii.gz", str(tmp_path / "theirs.nii"))
    assert by_array == by_volume == by_path
    assert by_array.value(metric="dice", label=1) == pytest.approx(0.8)
    assert by_array.value(metric="hd95", label=1) == 6


@pytest.mark.parametrize("factor", [1, 1000, 100_000])
def test_the_order_of_bytes_does_not_matter(factor):
    truth, predicted = (array.astype(np.int32) * factor for array in cubes())
    expected = medseg.evaluate(predicted, truth, spacing_mm=(1, 1, 1))
    assert medseg.evaluate(predicted.astype(">i4"), truth, spacing_mm=(1, 1, 1)) == expected
    assert medseg.evaluate(predicted, truth.astype(">i4"), spacing_mm=(1, 1, 1)) == expected


def test_the_table_is_tidy():
    truth, predicted = cubes()
    frame = medseg.evaluate(
        predicted, truth, spacing_mm=(1, 1, 1), labels={1: "organ", 2: "lesion"}
    ).to_pandas()
    assert len(frame) == 6
    row = frame[(frame.name == "lesion") & (frame.metric == "dice")].iloc[0]
    assert (row.state, row.value, row.tp, row.fp, row.fn) == ("missed", 0, 0, 0, 8)
    assert (row.truth_ml, row.predicted_ml) == (pytest.approx(0.008), 0)
    assert frame.convention[frame.metric == "hd95"].unique().tolist() == [
        "convention=max-directed percent=95.0 direction=both"
    ]


def test_two_axes_are_enough():
    truth, predicted = np.zeros((2, 8, 8), int)
    truth[2:4, 2:4] = predicted[2:4, 3:5] = 1
    scores = medseg.evaluate(predicted, truth, spacing_mm=(1, 0.5), metrics=["dice", "hd"])
    assert [row.value for row in scores] == [0.5, 0.5]


def test_options_stand_behind_a_metric_and_in_its_name():
    truth, predicted = cubes()
    scores = medseg.evaluate(
        predicted,
        truth,
        spacing_mm=(1, 1, 1),
        labels=[1],
        metrics=["nsd", "nsd tolerance_mm=2", "nsd tolerance_mm=0"],
    )
    assert {row.metric: round(row.value, 10) for row in scores} == {
        "nsd": 0.7213114754,
        "nsd tolerance_mm=2.0": 1,
        "nsd tolerance_mm=0.0": 0.5901639344,
    }


def test_a_convention_is_set_for_all_metrics_that_know_it():
    truth, predicted = cubes()
    scores = medseg.evaluate(
        predicted,
        truth,
        spacing_mm=(1, 1, 1),
        labels=[1],
        metrics=["dice", "assd", "nsd", "hd95 convention=pooled"],
        convention="area-weighted",
    )
    conventions = {row.metric.split()[0]: row.convention for row in scores}
    assert "convention=area-weighted" in conventions["assd"]
    assert "convention=area-weighted" in conventions["nsd"]
    assert "convention=pooled" in conventions["hd95"]  # what is said of one metric goes first
    assert scores.value(metric="assd convention=area-weighted") == pytest.approx(0.6797951596)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ["dise"]}, "dise"),
        ({"metrics": []}, "no metric is named"),
        ({"metrics": ["dice", "dice"]}, "dice are named twice"),
        ({"metrics": ["nsd tolerance=2"]}, "has no option 'tolerance'"),
        ({"metrics": ["nsd tolerance_mm=wide"]}, "option tolerance_mm is 'wide', wanted float"),
        (
            {"metrics": ["dice"], "convention": "pooled"},
            "none of the metrics dice has the convention 'pooled'",
        ),
        ({"labels": [0, 1]}, "without the background"),
        ({"labels": []}, "wanted those to compare"),
        ({"spacing_mm": None}, r"spacing_mm=\(1.0, 1.0, 1.0\)"),
        ({"spacing_mm": (1, 1)}, "along each of its 3 axes"),
        ({"empty": "ignore"}, "no policy 'ignore' for empty masks; there are exclude, penalise, inf, brats"),
    ],
)
def test_wrong_calls_say_what_is_wanted(change, message):
    truth, predicted = cubes()
    with pytest.raises((OptionError, PluginError), match=message):
        medseg.evaluate(predicted, truth, **{"spacing_mm": (1, 1, 1), **change})


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (np.zeros((2, 30, 30, 30)), r"array of shape \(2, 30, 30, 30\); wanted two or three axes"),
        (np.full((30, 30, 30), 0.5), "such as 0.5"),
        (np.zeros((30, 30, 29), int), "the grids differ"),
    ],
)
def test_what_is_no_label_map_is_refused(predicted, message):
    with pytest.raises((VolumeError, OptionError), match=message):
        medseg.evaluate(predicted, cubes()[0], spacing_mm=(1, 1, 1))


def test_another_grid_is_refused_or_resampled_on_request():
    truth, _ = cubes()
    fine = as_volume(truth.repeat(2, axis=0), (0.5, 1, 1))
    affine = fine.affine.copy()
    affine[0, 3] = -0.25
    shifted = Volume(fine.array, affine, kind="labels")
    with pytest.raises(VolumeError, match="the grids differ"):
        medseg.evaluate(shifted, as_volume(truth))
    scores = medseg.evaluate(shifted, as_volume(truth), metrics=["dice"], resample=True)
    assert [row.value for row in scores] == [1, 1]
    assert scores.notes[""].startswith("prediction resampled from 60 x 30 x 30 voxels of 0.5 x 1 x 1 mm")


def test_a_label_that_was_asked_for_and_is_nowhere_has_its_row():
    truth, predicted = cubes()
    scores = medseg.evaluate(
        predicted, truth, spacing_mm=(1, 1, 1), labels=[1, 7], metrics=["dice", "specificity"]
    )
    row = scores.select(label=7, metric="dice").rows[0]
    assert (row.state, math.isnan(row.value)) == ("both empty", True)
    assert scores.value(label=7, metric="specificity") == 1


def test_only_labels_that_are_asked_for_are_worked_on(monkeypatch):
    from medseg.comparison.pair import Pair

    truth, predicted = cubes()
    asked = []
    monkeypatch.setattr(Pair, "distances", lambda self, label, surface: asked.append(label) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        medseg.evaluate(predicted, truth, spacing_mm=(1, 1, 1), labels=[2], metrics=["hd"])
    assert asked == [2]


def test_distances_are_worked_out_once_for_all_metrics(monkeypatch):
    from medseg.comparison import pair as module

    truth, predicted = cubes()
    calls = []
    original = module.surface_distances
    monkeypatch.setattr(module, "surface_distances", lambda *a: calls.append(a[3]) or original(*a))
    metrics = ["hd", "hd95", "assd", "masd", "nsd", "nsd tolerance_mm=2", "nsd tolerance_mm=3"]
    medseg.evaluate(predicted, truth, spacing_mm=(1, 1, 1), labels=[1], metrics=metrics)
    assert calls.count("voxels") == 2  # of label 1, and of the label that no map has


def test_metrics_of_the_map_have_one_row():
    truth, predicted = cubes()
    scores = medseg.evaluate(
        predicted, truth, spacing_mm=(1, 1, 1), metrics=["dice", "pixel-accuracy", "mean-iou"]
    )
    assert [(r.label, r.name) for r in scores if r.metric == "pixel-accuracy"] == [(None, "whole map")]
    assert scores.value(metric="pixel-accuracy") == pytest.approx(1 - 408 / 27000)


def sizes():
    """A metric of somebody's plugin, which knows nothing of pairs."""
    return lambda predicted, truth: {n: float((predicted.array == n).sum()) for n in (1, 2)}


def nonsense():
    return lambda predicted, truth: "good"


class ModuleOfMetrics:
    """What a plugin's module is to the registry."""

    MEDSEG_API = 1

    @hookimpl
    def medseg_metrics(self):
        for name in ("sizes", "nonsense"):
            yield Metric(
                name=name, factory=f"{__name__}:{name}", unit="", higher_is_better=True, summary="Voxels"
            )


def test_a_plugin_s_metric_stands_beside_the_core_s():
    truth, predicted = cubes()
    registry = Registry.of(other=ModuleOfMetrics())
    registry.records += default_registry().records
    scores = medseg.evaluate(
        predicted,
        truth,
        spacing_mm=(1, 1, 1),
        metrics=["dice", "other:sizes"],
        labels=[1, 5],
        registry=registry,
    )
    assert scores.value(metric="sizes", label=1) == 1000
    assert math.isnan(scores.value(metric="sizes", label=5))
    with pytest.raises(PluginError, match="metric nonsense returned 'good', wanted a number for each label"):
        medseg.evaluate(predicted, truth, spacing_mm=(1, 1, 1), metrics=["nonsense"], registry=registry)

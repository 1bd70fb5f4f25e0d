"""Every convention against the library it is from: MONAI, DeepMind's surface-distance, SimpleITK, SciPy.

Metrics Reloaded is on no package index; its conventions are those that MONAI shares (HD95, ASSD), and a plain
implementation of its MASD is below.
"""

import warnings

import edt
import numpy as np
import pytest
import SimpleITK
import torch
from monai.metrics import (
    ConfusionMatrixMetric,
    DiceMetric,
    HausdorffDistanceMetric,
    SurfaceDiceMetric,
    SurfaceDistanceMetric,
)
from scipy import ndimage

from medseg.builtin.metrics import overlap, shape, surface

SPACINGS = [(1, 1, 1), (0.85, 1.2, 0.9), (3, 1, 1), (0.5, 0.5, 2.5)]


def blobs(seed, shape=(34, 30, 26)):
    """Two masks that resemble each other: smooth noise cut at a level, the second one moved and noisier."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    other = np.roll(field, 1, axis=0) + 0.3 * ndimage.gaussian_filter(rng.normal(size=shape), 2)
    return field > np.quantile(field, 0.8), other > np.quantile(other, 0.8)


@pytest.fixture(params=[(seed, spacing) for seed in range(3) for spacing in SPACINGS], ids=str)
def masks(request, pair_of):
    seed, spacing_mm = request.param
    truth, predicted = blobs(seed)
    return truth, predicted, spacing_mm, pair_of(truth, predicted, spacing_mm)


def monai(metric, predicted, truth, **options):
    both = [torch.from_numpy(mask[None, None]) for mask in (predicted, truth)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(metric(*both, **options)[0, 0])


def test_monai_counts_border_voxels(masks):
    truth, predicted, spacing_mm, pair = masks
    options = {"spacing": spacing_mm}
    hd = HausdorffDistanceMetric(include_background=True)
    assert surface.HausdorffDistance().of(pair)[1] == pytest.approx(monai(hd, predicted, truth, **options))
    hd95 = HausdorffDistanceMetric(include_background=True, percentile=95)
    # MONAI works out the rank of the percentile in float32.
    expected = pytest.approx(monai(hd95, predicted, truth, **options), rel=1e-5)
    assert surface.HausdorffPercentile(convention="max-directed").of(pair)[1] == expected
    assd = SurfaceDistanceMetric(include_background=True, symmetric=True)
    expected = pytest.approx(monai(assd, predicted, truth, **options), rel=1e-6)
    assert surface.AverageSurfaceDistance(convention="pooled").of(pair)[1] == expected
    for tolerance in (0.7, 1.3):
        nsd = SurfaceDiceMetric(class_thresholds=[tolerance], include_background=True)
        expected = pytest.approx(monai(nsd, predicted, truth, **options), rel=1e-6)
        assert surface.SurfaceDice(tolerance_mm=tolerance).of(pair)[1] == expected


def test_monai_with_subvoxels_weights_by_area(masks):
    truth, predicted, spacing_mm, pair = masks
    nsd = SurfaceDiceMetric(class_thresholds=[0.9], include_background=True, use_subvoxels=True)
    expected = pytest.approx(monai(nsd, predicted, truth, spacing=spacing_mm), rel=1e-6)
    assert surface.SurfaceDice(tolerance_mm=0.9, convention="area-weighted").of(pair)[1] == expected


def test_monai_overlap(masks):
    truth, predicted, _, pair = masks
    assert overlap.Dice().of(pair)[1] == pytest.approx(monai(DiceMetric(), predicted, truth), rel=1e-6)
    for name, metric in (
        ("precision", overlap.Precision()),
        ("sensitivity", overlap.Recall()),
        ("specificity", overlap.Specificity()),
        ("f1 score", overlap.F1()),
    ):
        theirs = ConfusionMatrixMetric(metric_name=name, include_background=True)
        theirs(*(torch.from_numpy(mask[None, None]).float() for mask in (predicted, truth)))
        assert metric.of(pair)[1] == pytest.approx(float(theirs.aggregate()[0]), rel=1e-6)


@pytest.fixture
def surface_distance(monkeypatch):
    """DeepMind's package as at its HEAD: the one on PyPI says np.Inf, which NumPy 2 no longer has."""
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import surface_distance

        yield surface_distance


def test_deepmind_weights_by_area(masks, surface_distance):
    truth, predicted, spacing_mm, pair = masks
    theirs = surface_distance.compute_surface_distances(truth, predicted, spacing_mm)
    directed = [
        surface.AverageSurfaceDistance(convention="area-weighted", direction=direction).of(pair)[1]
        for direction in ("truth-to-predicted", "predicted-to-truth")
    ]
    assert directed == pytest.approx(surface_distance.compute_average_surface_distance(theirs), rel=1e-12)
    for percent in (50, 95, 99, 100):
        expected = pytest.approx(surface_distance.compute_robust_hausdorff(theirs, percent), rel=1e-12)
        ours = surface.HausdorffPercentile(convention="area-weighted", percent=percent)
        assert ours.of(pair)[1] == expected
    for tolerance in (0.4, 1.3):
        expected = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
        ours = surface.SurfaceDice(convention="area-weighted", tolerance_mm=tolerance)
        assert ours.of(pair)[1] == pytest.approx(expected, rel=1e-12)
        overlaps = surface_distance.compute_surface_overlap_at_tolerance(theirs, tolerance)
        for direction, part in zip(("truth-to-predicted", "predicted-to-truth"), overlaps, strict=True):
            ours = surface.SurfaceDice(
                convention="area-weighted", tolerance_mm=tolerance, direction=direction
            )
            assert ours.of(pair)[1] == pytest.approx(part, rel=1e-12)


@pytest.mark.parametrize("spacing_mm", [(1, 1), (0.7, 1.9)])
def test_deepmind_in_two_dimensions(pair_of, surface_distance, spacing_mm):
    truth, predicted = blobs(5, (60, 50))
    theirs = surface_distance.compute_surface_distances(truth, predicted, spacing_mm)
    pair = pair_of(truth, predicted, spacing_mm)
    ours = pair.distances(1, "area")
    means = (ours.truth_to_predicted.mean(), ours.predicted_to_truth.mean())
    assert means == pytest.approx(surface_distance.compute_average_surface_distance(theirs), rel=1e-12)


def test_deepmind_where_a_side_is_empty(pair_of, surface_distance):
    # The same infinite distances and zero Dice; for two empty masks it says infinite HD, we say NaN.
    full, empty = np.zeros((2, 9, 9, 9), bool)
    full[3:6, 3:6, 3:6] = True
    for truth, predicted in ((full, empty), (empty, full)):
        theirs = surface_distance.compute_surface_distances(truth, predicted, (1, 1, 1))
        pair = pair_of(truth, predicted)
        hd95 = surface.HausdorffPercentile(convention="area-weighted").of(pair)[1]
        assert hd95 == surface_distance.compute_robust_hausdorff(theirs, 95) == np.inf
        nsd = surface.SurfaceDice(convention="area-weighted").of(pair)[1]
        assert nsd == surface_distance.compute_surface_dice_at_tolerance(theirs, 1) == 0
    theirs = surface_distance.compute_surface_distances(empty, empty, (1, 1, 1))
    assert surface_distance.compute_robust_hausdorff(theirs, 95) == np.inf
    assert np.isnan(surface.HausdorffPercentile().of_label(pair_of(empty, empty), 1))


def test_areas_are_those_of_deepmind_s_table_for_all_256_corners(surface_distance):
    from surface_distance import lookup_tables

    from medseg.comparison.surfels import corner_areas

    spacing_mm = (1.3, 0.7, 2.1)
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing_mm)
    kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    ours = corner_areas(spacing_mm)
    for code in range(256):
        corners = np.array([code >> bit & 1 for bit in range(8)]).reshape(2, 2, 2)
        assert ours[code] == pytest.approx(theirs[(corners * kernel).sum()], abs=1e-12)


def directed_by_transform(source, target, spacing_mm):
    """Distances by SciPy's transform, from a border by SciPy's erosion: plain, and slow."""
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (source, target)]
    return ndimage.distance_transform_edt(~borders[1], sampling=spacing_mm)[borders[0]]


def test_scipy_s_distance_transform_gives_the_same_distances(masks):
    truth, predicted, spacing_mm, pair = masks
    found = pair.distances(1, "voxels")
    for ours, theirs in (
        (found.truth_to_predicted, directed_by_transform(truth, predicted, spacing_mm)),
        (found.predicted_to_truth, directed_by_transform(predicted, truth, spacing_mm)),
    ):
        assert np.repeat(ours.mm, ours.weight.astype(int)) == pytest.approx(np.sort(theirs), rel=1e-12)
        for percent in (0, 12.5, 50, 95, 99.9, 100):
            expected = pytest.approx(np.percentile(theirs, percent), rel=1e-12)
            assert ours.percentile(percent, "interpolated") == expected


def test_metrics_reloaded_s_masd_medpy_s_hd95_and_panoptica_s_assd(masks):
    truth, predicted, spacing_mm, pair = masks
    ways = [
        directed_by_transform(truth, predicted, spacing_mm),
        directed_by_transform(predicted, truth, spacing_mm),
    ]
    pooled = np.concatenate(ways)
    means = np.mean([way.mean() for way in ways])
    hd95 = surface.HausdorffPercentile(convention="pooled").of(pair)[1]
    assert hd95 == pytest.approx(np.percentile(pooled, 95), rel=1e-12)
    assert surface.MeanAverageSurfaceDistance().of(pair)[1] == pytest.approx(means, rel=1e-12)
    assert surface.AverageSurfaceDistance(convention="mean-directed").of(pair)[1] == pytest.approx(means)


def test_simpleitk_overlap_and_hausdorff_of_whole_masks(masks):
    # ITK measures from every voxel of one mask to the other; what lies in both is at 0, so the maximum is
    # that of the borders.
    truth, predicted, spacing_mm, pair = masks
    images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in (truth, predicted)]
    for image in images:
        image.SetSpacing([float(mm) for mm in spacing_mm[::-1]])
    measures = SimpleITK.LabelOverlapMeasuresImageFilter()
    measures.Execute(*images)
    assert overlap.Dice().of(pair)[1] == pytest.approx(measures.GetDiceCoefficient(1))
    assert overlap.IntersectionOverUnion().of(pair)[1] == pytest.approx(measures.GetJaccardCoefficient(1))
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    ours = surface.HausdorffDistance().of(pair)[1]
    assert hausdorff.GetHausdorffDistance() <= ours * (1 + 1e-9)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_bands_are_those_of_scipy_s_transform(pair_of, spacing_mm):
    truth, predicted = blobs(1)
    bands = []
    for mask in (truth, predicted):
        depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
        bands.append(mask & ((depth <= 1.5 * (1 + 1e-9)) | (mask & ~ndimage.binary_erosion(mask))))
    expected = (bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum()
    ours = shape.BoundaryIoU(width_mm=1.5).of(pair_of(truth, predicted, spacing_mm))[1]
    assert ours == pytest.approx(expected, rel=1e-12)
    assert edt.edt(truth, anisotropy=spacing_mm) == pytest.approx(
        ndimage.distance_transform_edt(truth, sampling=spacing_mm), rel=1e-5
    )

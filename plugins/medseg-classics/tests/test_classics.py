"""Each method on a ball with noise, on voxels that are no cubes, and against an independent library."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  # its own documentation's name
from medseg_classics import beginnings, graphs, seeds, snakes, supervoxels, thresholds
from skimage import segmentation

import medseg
from medseg import Volume
from medseg.catalogue import model_options
from medseg.errors import ContractError, OptionError
from medseg.registry import default_registry
from medseg.testing import conformance

AFFINE = np.diag([2.5, 1.0, 1.0, 1.0])
SHAPE = (12, 30, 30)


def distance_to_middle(shape=SHAPE, affine=AFFINE):
    spacing = np.diag(affine)[:3]
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)]
    return np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))


TRUTH = distance_to_middle() < 9
BEGIN = Volume((distance_to_middle() < 5).astype(np.uint8), AFFINE, kind="labels")


def labels(array):
    return Volume(array.astype(np.uint8), AFFINE, kind="labels")


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return Volume((100 * TRUTH + rng.normal(0, 12, SHAPE)).astype(np.float32), AFFINE)


@pytest.fixture
def drawn():
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[5:7, 13:17, 13:17] = 1
    strokes[:, 0, :] = strokes[:, -1, :] = strokes[:, :, 0] = strokes[:, :, -1] = 2
    strokes[0] = strokes[-1] = 2
    return labels(strokes)


def dice(found, truth=TRUTH):
    return 2 * np.logical_and(found, truth).sum() / (found.sum() + truth.sum())


METHODS = {
    "otsu": lambda image, drawn: thresholds.otsu(image),
    "multi-otsu": lambda image, drawn: thresholds.multi_otsu(image, classes=2),
    "hysteresis": lambda image, drawn: thresholds.hysteresis(image, between=(45.0, 80.0)),
    "k-means": lambda image, drawn: thresholds.k_means(image, clusters=2),
    "region growing": seeds.grow_regions,
    "watershed": seeds.watershed,
    "random walker": seeds.random_walker,
    "graph cut": graphs.graph_cut,
    "field": lambda image, drawn: graphs.smooth_by_field(image, thresholds.otsu(image)),
    "morphological Chan-Vese": lambda image, drawn: snakes.morphological_chan_vese(image, BEGIN),
    "morphological geodesic": lambda image, drawn: snakes.morphological_geodesic(image, BEGIN, iterations=20),
    "geodesic": lambda image, drawn: snakes.geodesic(image, BEGIN),
}


@pytest.mark.parametrize("method", METHODS)
def test_it_finds_a_noisy_ball_on_long_voxels(method, image, drawn):
    found = METHODS[method](image, drawn)

    assert found.kind == "labels"
    assert found.grid.matches(image.grid)
    assert dice(found.array == 1) > 0.9


def test_otsus_threshold_is_itks():
    rng = np.random.default_rng(1)
    values = np.where(rng.random(SHAPE) < 0.3, rng.normal(80, 9, SHAPE), rng.normal(20, 9, SHAPE))
    volume = Volume(values.astype(np.float32), AFFINE)
    theirs = sitk.OtsuThreshold(sitk.GetImageFromArray(volume.array), 0, 1, 256)

    assert (thresholds.otsu(volume).array != sitk.GetArrayFromImage(theirs)).mean() < 0.002
    np.testing.assert_array_equal(
        thresholds.otsu(volume, bright=False).array, 1 - thresholds.otsu(volume).array
    )


def test_k_means_ends_where_no_voxel_is_nearer_to_another_mean(image):
    found = thresholds.k_means(image, clusters=4).array
    means = [image.array[found == k].mean() for k in range(4)]
    nearest = np.abs(image.array[..., None] - np.array(means)).argmin(axis=-1)

    assert sorted(means) == means
    assert (nearest != found).mean() < 1e-3


def test_hysteresis_keeps_what_touches_the_brighter_part():
    values = np.zeros(SHAPE, np.float32)
    values[3:5] = 50
    values[4, 4, 4] = 100
    values[8:10] = 50
    found = thresholds.hysteresis(Volume(values, AFFINE), between=(40.0, 90.0)).array
    assert found[3:5].all()
    assert not found[8:10].any()


def test_the_cut_costs_least_of_all_that_a_small_grid_allows():
    """Every labelling of 2 x 2 x 2 voxels is tried."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        weight = rng.integers(1, 20, 12)
        number = np.arange(8).reshape(2, 2, 2)
        pairs = np.concatenate(
            [np.stack((number.take(0, axis=a).ravel(), number.take(1, axis=a).ravel())) for a in range(3)],
            axis=1,
        )
        source, sink = rng.integers(0, 30, (2, 8))

        def cost(inside, pairs=pairs, weight=weight, source=source, sink=sink):
            cut = inside[pairs[0]] != inside[pairs[1]]
            return weight[cut].sum() + source[~inside].sum() + sink[inside].sum()

        best = min(cost((code >> np.arange(8) & 1).astype(bool)) for code in range(256))
        found = graphs._cut(*pairs, weight, from_source=source, to_sink=sink)
        assert cost(found) == best


def test_a_field_removes_what_stands_alone_and_keeps_edges(image):
    rng = np.random.default_rng(2)
    flipped = np.where(rng.random(SHAPE) < 0.1, ~TRUTH, TRUTH)
    after = graphs.smooth_by_field(image, labels(flipped)).array == 1

    assert dice(after) > dice(flipped) + 0.05
    assert dice(after) > 0.95


def test_a_field_that_does_not_couple_changes_nothing(image):
    found = graphs.smooth_by_field(image, BEGIN, smoothness=0.0)
    np.testing.assert_array_equal(found.array, BEGIN.array)


def test_morphology_on_cubes_does_better_than_scikit_images_on_long_voxels(image):
    ours = snakes.morphological_chan_vese(image, BEGIN).array > 0
    theirs = segmentation.morphological_chan_vese(image.array.astype(float), 60, init_level_set=BEGIN.array)
    assert dice(ours) > dice(theirs > 0)


def test_supervoxels_are_as_long_in_millimetres_along_every_axis():
    flat = Volume(np.zeros((16, 40, 40), np.float32), AFFINE)
    found = supervoxels.slic(flat, pieces=64).array
    extents = []
    for label in np.unique(found):
        where = np.nonzero(found == label)
        extents.append([(np.ptp(w) + 1) * h for w, h in zip(where, (2.5, 1.0, 1.0), strict=True)])
    long, *others = np.median(extents, axis=0)

    assert found.min() == 1
    assert long == pytest.approx(np.mean(others), rel=0.35)


def test_seeds_stay_what_they_were_drawn_as(image, drawn):
    for method in (seeds.grow_regions, seeds.watershed, seeds.random_walker, graphs.graph_cut):
        found = method(image, drawn).array
        kept = found[drawn.array == 1]
        assert (kept == 1).all()


def test_what_cannot_be_done_is_refused(image, drawn):
    flat = image.with_array(np.zeros(SHAPE, np.float32))
    with pytest.raises(ContractError, match="needs contrast"):
        thresholds.otsu(flat)
    with pytest.raises(OptionError, match="2 to 5 classes; got 9"):
        thresholds.multi_otsu(image, classes=9)
    with pytest.raises(OptionError, match="low <= high"):
        thresholds.hysteresis(image, between=(3.0, 1.0))
    with pytest.raises(ContractError, match="some label above 0"):
        seeds.watershed(image, labels(np.zeros(SHAPE)))
    with pytest.raises(ContractError, match="draw them on the image"):
        seeds.watershed(image, Volume(drawn.array, np.eye(4), kind="labels"))
    with pytest.raises(ContractError, match="two labels"):
        seeds.random_walker(image, BEGIN)
    with pytest.raises(ContractError, match=r"for the background; got \[1\]"):
        graphs.graph_cut(image, BEGIN)


test_conformance = conformance("classics")

MIDDLE = tuple((AFFINE @ [5.5, 14.5, 14.5, 1])[:3].tolist())


@pytest.mark.parametrize("name", sorted(medseg.methods()))
def test_each_method_finds_the_bright_ball_by_name(name, image):
    """With a point in it where the method takes points; without it has to find one itself."""
    options = {
        "classics:multi-otsu": {"classes": 2},
        "classics:k-means": {"clusters": 2},
        "classics:random-field": {"clusters": 2},
        "classics:hysteresis": {"between": (45.0, 80.0)},
    }.get(name, {})
    if name == "classics:slic":
        pytest.skip("supervoxels name no object")
    found = medseg.segment(image, name, options=options)
    assert dice(found.labels.array == 1) > 0.9
    if "inside" in model_options(name):
        pointed = medseg.segment(image, name, options={"inside": MIDDLE, "radius_mm": 5.0})
        assert dice(pointed.labels.array == 1) > 0.9


REFINERS = [r.full_name for r in default_registry().components("step") if r.plugin == "classics"]


@pytest.mark.parametrize("name", REFINERS)
def test_each_step_brings_a_ragged_mask_nearer_to_the_ball(name, image):
    rng = np.random.default_rng(3)
    ragged = np.where(np.abs(distance_to_middle() - 9) < 2, rng.random(SHAPE) < 0.5, TRUTH)
    before = labels(7 * ragged)
    after = medseg.refine(image, before, name)

    assert set(np.unique(after.array)) == {0, 7}
    assert dice(after.array == 7) > dice(ragged) + 0.03


@pytest.mark.parametrize("name", REFINERS)
def test_each_step_keeps_two_labels_apart_and_an_empty_map_empty(name, image):
    halves = np.where(TRUTH, 1 + (np.arange(SHAPE[2]) > 14), 0)
    image = image.with_array(image.array + 80 * (halves == 2).astype(np.float32))
    after = medseg.refine(image, labels(halves), name).array

    assert dice(after == 1, halves == 1) > 0.8
    assert dice(after == 2, halves == 2) > 0.8
    assert not medseg.refine(image, labels(np.zeros(SHAPE)), name).array.any()


@pytest.mark.parametrize("name", REFINERS)
def test_each_step_keeps_a_mask_of_the_whole_image(name, image):
    full = labels(np.full(SHAPE, 3))
    np.testing.assert_array_equal(medseg.refine(image, full, name).array, full.array)


@pytest.mark.parametrize("name", sorted({*REFINERS} - {"classics:slic"}))  # its pieces are wider than that
def test_each_step_leaves_a_narrow_background_and_what_the_field_of_view_cuts(name):
    """A block whose faces are those of the image, but for a rim of two voxels at one end."""
    block = np.ones((16, 16, 16), bool)
    block[:, :, 14:] = False
    values = 100 * block + np.random.default_rng(0).normal(0, 5, block.shape)
    picture = Volume(values.astype(np.float32), np.eye(4))
    mask = Volume(block.astype(np.uint8), np.eye(4), kind="labels")
    found = medseg.refine(picture, mask, name).array
    assert (found != mask.array).mean() < 0.01


def test_the_background_has_seeds_as_labels_have():
    mask = np.ones(SHAPE, np.uint8)
    mask[0] = 0
    drawn = beginnings.seeds_of_mask(labels(mask), band_mm=5.0).array
    assert (drawn[0] == 2).all()
    assert set(np.unique(drawn[1:])) == {0, 1}


def test_points_and_brightness_make_seeds(image):
    by_brightness = beginnings.find_seeds(image).array
    assert by_brightness[TRUTH].max() == 1
    assert (by_brightness[~TRUTH] != 1).mean() > 0.999
    turned = beginnings.find_seeds(image.with_array(-image.array), bright=False).array
    np.testing.assert_array_equal(turned == 1, by_brightness == 1)

    alone = beginnings.find_seeds(image, inside=MIDDLE).array
    assert alone[5, 14, 14] == 1
    assert (alone[0] == 2).all()
    both = beginnings.find_seeds(image, inside=MIDDLE, outside=(0.0, 0.0, 0.0), radius_mm=2.0).array
    assert both[0, 0, 0] == 2
    assert both[0, 20, 20] == 0


def test_points_that_say_too_little_are_refused(image):
    with pytest.raises(OptionError, match="give inside=x,y,z in mm too"):
        beginnings.find_seeds(image, outside=MIDDLE)
    with pytest.raises(ContractError, match="overlap: move them apart"):
        beginnings.find_seeds(image, inside=MIDDLE, outside=MIDDLE)
    flat = Volume(image.array[:2], AFFINE)
    with pytest.raises(ContractError, match="is all face: give points outside too"):
        beginnings.find_seeds(flat, inside=(0.0, 9.0, 9.0))
    with pytest.raises(OptionError, match="outside 12 x 30 x 30 voxels"):
        medseg.segment(image, "classics:watershed", options={"inside": (500.0, 0.0, 0.0)})

import numpy as np
import pytest
import torch

from medseg.training.deformation import Deformation
from medseg.training.synthesis import Recipe, Regions, synthesise

STILL = Deformation(rotation_degrees=0, scaling=0, shearing=0, displacement_mm=0, mirror=False)
PLAIN = {
    "texture": 0,
    "blur_voxels": 0,
    "thick_share": 0,
    "bias": 0,
    "gamma": 0,
    "noise": 0,
    "stripped_share": 0,
}


def halves():
    """A body of regions 1 (left half) and 2 (right half) in air, and 3 around it, which is not learnt."""
    labels = np.zeros((24, 20, 16), np.uint8)
    labels[2:22, 2:18, 2:14] = 3
    labels[4:12, 4:16, 4:12] = 1
    labels[12:20, 4:16, 4:12] = 2
    return Regions(labels=labels, spacing_mm=(1, 1, 1), classes=(0, 1, 2, 0))


def paint(recipe, seed=0, shape=(24, 20, 16), centre=(12, 10, 8), spacing=(1, 1, 1), swaps=()):
    rng = np.random.default_rng(seed)
    return synthesise(
        halves(), centre=centre, shape=shape, spacing_mm=spacing, recipe=recipe, rng=rng, swaps=swaps
    )


def test_without_any_change_the_regions_come_back_as_they_are_and_each_has_one_value():
    image, classes = paint(Recipe(deformation=STILL, **PLAIN))
    truth = halves().labels
    assert np.array_equal(classes.numpy(), np.array([0, 1, 2, 0])[truth])
    for region in range(4):
        values = image.numpy()[truth == region]
        assert np.ptp(values) < 1e-5


def test_regions_that_are_not_learnt_are_painted_and_yet_background():
    contrasts = {0: (0, 0), 1: (0.2, 0.2), 2: (0.4, 0.4), 3: (0.9, 0.9)}
    image, classes = paint(Recipe(deformation=STILL, contrasts=contrasts, contrast_share=1, **PLAIN))
    shell = halves().labels == 3
    assert set(classes.numpy()[shell]) == {0}
    assert image.numpy()[shell].min() > 2 * image.numpy()[halves().labels == 2].max()


def test_a_contrast_that_is_asked_for_is_kept():
    contrasts = {1: (0.2, 0.2), 2: (0.6, 0.6)}
    image, _ = paint(Recipe(deformation=STILL, contrasts=contrasts, contrast_share=1, **PLAIN))
    truth = halves().labels
    ratio = image.numpy()[truth == 2].mean() / image.numpy()[truth == 1].mean()
    assert ratio == pytest.approx(3, rel=1e-4)


def test_a_sample_depends_on_its_own_generator_alone():
    a, b, other = paint(Recipe(), seed=5), paint(Recipe(), seed=5), paint(Recipe(), seed=6)
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    assert not torch.equal(a[0], other[0])


@pytest.mark.parametrize(
    ("of_regions", "of_classes"),
    [(((1, 2),), ()), ((), ((1, 2),)), (((1, 2),), ((1, 2),)), (((1, 2), (7, 9)), ((1, 2), (4, 5)))],
)
def test_mirrored_patches_have_the_classes_of_both_sides_swapped_once(of_regions, of_classes):
    mirrored = Recipe(deformation=STILL_MIRROR, swaps=of_regions, **PLAIN)
    plain, seen = halves().labels, set()
    for seed in range(8):
        _, classes = paint(mirrored, seed=seed, swaps=of_classes)
        # A mirror puts 2 on the left; the swap calls it 1 again. The mirror is in voxel 12 of 24.
        expected = np.array([0, 1, 2, 0])[plain]
        assert any(np.array_equal(classes.numpy(), np.roll(expected, n, axis=0)) for n in (0, 1))
        _, unswapped = paint(Recipe(deformation=STILL_MIRROR, **PLAIN), seed=seed)
        seen.add(int(unswapped[6, 10, 8]))
    assert seen == {1, 2}


STILL_MIRROR = Deformation(rotation_degrees=0, scaling=0, shearing=0, displacement_mm=0, mirror=True)


def test_outside_of_the_map_is_background():
    image, classes = paint(Recipe(deformation=STILL, **PLAIN), centre=(-30, 9.5, 7.5))
    assert int(classes.sum()) == 0
    assert float(image.max() - image.min()) < 1e-6


def test_the_patch_has_its_own_spacing_and_borders_hold_mixtures():
    contrasts = {0: (0, 0), 1: (1, 1), 2: (1, 1), 3: (1, 1)}
    recipe = Recipe(deformation=STILL, contrasts=contrasts, contrast_share=1, **PLAIN)
    image, classes = paint(recipe, shape=(8, 8, 8), spacing=(2.5, 2.5, 2.5))
    assert image.shape == classes.shape == (8, 8, 8)
    highest = image.max()
    mixed = (image > 0.05 * highest) & (image < 0.95 * highest)
    assert int(mixed.sum()) > 0


def test_numbers_stay_finite_under_everything_at_once():
    for seed in range(10):
        image, classes = paint(Recipe(), seed=seed, shape=(16, 16, 16))
        assert bool(torch.isfinite(image).all())
        assert set(classes.unique().tolist()) <= {0, 1, 2}

"""Patches of a body whose sides have names: in a mirror, left is left all the same."""

import itertools

import numpy as np
import pytest

from medseg.errors import ContractError, OptionError
from medseg.plugin import Channel
from medseg.training.contracts import input_of
from medseg.training.dataset import Dataset, label, one_sided, sides_of
from medseg.training.deformation import Deformation
from medseg.training.patches import Patches, Source
from medseg.training.plan import Plan
from medseg.training.prepared import Pictured
from medseg.training.synthesis import Recipe, Regions

SIDES = (label(0, "background"), label(1, "left kidney"), label(2, "right kidney"))
CLASSES = np.zeros((16, 16, 16), np.uint8)
CLASSES[1:4, 4:12, 4:12], CLASSES[12:15, 4:12, 4:12] = 1, 2
STILL = Deformation(rotation_degrees=0, scaling=0, shearing=0, displacement_mm=0, mirror=True)


def plan(**changes):
    fixed = {"architecture": "unets:unet3d", "loss": "builtin:dice-ce", "spacing_mm": (1, 1, 1)}
    return Plan(**(fixed | {"patch": (16, 16, 16), "foreground": 1.0} | changes))


def sides_of_patches(patches):
    """Where in all patches each class was seen: "low" or "high" along the first axis, air on both sides."""
    seen = set()
    for n in range(20):
        classes = patches[n][1].numpy()
        for value in (1, 2):
            where = np.argwhere(classes == value)[:, 0]
            other = np.argwhere(classes == 3 - value)[:, 0]
            if len(where) and len(other):
                seen.add((value, "low" if where.mean() < other.mean() else "high"))
    return seen


@pytest.mark.parametrize("synthetic", [0.0, 1.0])
@pytest.mark.parametrize("mirror", [True, False])
def test_left_is_left_in_every_patch(synthetic, mirror):
    painted = Regions(labels=CLASSES, spacing_mm=(1, 1, 1), classes=(0, 1, 2))
    voxels = tuple(np.argwhere(value == CLASSES).astype(np.int32) for value in (1, 2))
    real = Pictured(
        image=CLASSES[None].astype(np.float32), classes=CLASSES, spacing_mm=(1, 1, 1), voxels=voxels
    )
    patches = Patches(
        [Source(pictured=real, regions=painted)],
        Recipe(deformation=Deformation(**(vars(STILL) | {"mirror": mirror}))),
        plan(synthetic=synthetic, patch=(32, 16, 16)),
        swaps=sides_of(described(SIDES)),
    )
    assert sides_of_patches(patches) == {(1, "low"), (2, "high")}


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("mm", [1.0, 0.7, 1.25])
def test_a_patch_that_is_not_deformed_holds_voxels_as_they_are(size, mm, monkeypatch):
    rng = np.random.default_rng(0)
    image, classes = rng.random((20, 20, 20), np.float32), rng.integers(0, 3, (20, 20, 20), np.uint8)
    voxels = (np.argwhere(classes[6:14, 6:14, 6:14] == 1).astype(np.int32) + 6,)
    real = Pictured(image=image[None], classes=classes, spacing_mm=(mm, mm, mm), voxels=voxels)
    patches = Patches(
        [Source(pictured=real, regions=None)],
        Recipe(deformation=Deformation(**(vars(STILL) | {"mirror": False}))),
        plan(patch=(size, size, size), spacing_mm=(mm, mm, mm)),
    )
    monkeypatch.setattr(patches, "_intensities", lambda patch, _: patch)
    corners = list(itertools.product(range(20 - size + 1), repeat=3))
    for n in range(5):
        found, learnt = patches[n]
        errors = [
            float(np.abs(image[i : i + size, j : j + size, k : k + size] - found[0].numpy()).max())
            for i, j, k in corners
        ]
        i, j, k = corners[int(np.argmin(errors))]
        assert min(errors) < 1e-4
        np.testing.assert_array_equal(classes[i : i + size, j : j + size, k : k + size], learnt)
        assert learnt[size // 2, size // 2, size // 2] == 1  # centred on a voxel of the class


@pytest.mark.parametrize(
    ("labels", "axes"), [(SIDES, ()), ((label(0, "background"), label(1, "kidneys")), (0,))]
)
def test_windows_of_a_model_that_tells_sides_apart_are_not_mirrored(labels, axes):
    channels = (Channel(name="CT", modality="CT", unit="HU"),)
    dataset = Dataset(name="k", channels=channels, labels=labels, cases=())
    assert input_of(plan(), dataset).mirror == axes
    assert input_of(plan(mirror=False), dataset).mirror == ()


def test_a_model_of_mirrored_patches_may_average_over_mirrored_windows_in_use():
    body = described((label(0, "background"), label(1, "kidneys")))
    assert input_of(plan(mirror_in_use=True), body).mirror_by_default
    assert not input_of(plan(), body).mirror_by_default
    for other, dataset in (
        (plan(mirror_in_use=True, mirror=False), body),
        (plan(mirror_in_use=True), described(SIDES)),
    ):
        with pytest.raises(OptionError, match="mirror_in_use is set, and this model cannot"):
            input_of(other, dataset)


NAMELESS = (label(0, "background"), label(1, "lh-kidney"), label(2, "rh-kidney"))


def described(labels=NAMELESS, **changes):
    channels = (Channel(name="CT", modality="CT", unit="HU"),)
    return Dataset(name="k", channels=channels, labels=labels, cases=(), **changes)


@pytest.mark.parametrize("synthetic", [0.0, 1.0])
def test_pairs_of_the_recipe_hold_for_images_and_windows_too(synthetic):
    recipe = Recipe(deformation=STILL, swaps=((17, 53), (4, 43), (5, 5)))
    dataset = described(recipe=recipe, classes={17: 1, 53: 2, 4: 0, 43: 0, 5: 0})
    assert sides_of(dataset) == ((1, 2),)
    assert input_of(plan(), dataset).mirror == ()
    voxels = tuple(np.argwhere(value == CLASSES).astype(np.int32) for value in (1, 2))
    real = Pictured(
        image=CLASSES[None].astype(np.float32), classes=CLASSES, spacing_mm=(1, 1, 1), voxels=voxels
    )
    # A map that lacks 53 shows the same pair by its classes.
    painted = Regions(
        labels=np.where(CLASSES == 1, 17, CLASSES), spacing_mm=(1, 1, 1), classes=(0, 1, 2, *[0] * 14, 1)
    )
    patches = Patches(
        [Source(pictured=real, regions=painted)],
        recipe,
        plan(synthetic=synthetic, patch=(32, 16, 16)),
        swaps=sides_of(dataset),
    )
    assert sides_of_patches(patches) == {(1, "low"), (2, "high")}


@pytest.mark.parametrize("swaps", [((1, 3),), ((1, 2), (1, 4))])
def test_an_image_is_not_mirrored_where_its_classes_do_not_tell_their_other_side(swaps):
    """The other side of class 1 is not learnt, or is one of two."""
    labels = (*NAMELESS, label(3, "other"))
    dataset = described(labels, recipe=Recipe(deformation=STILL, swaps=swaps), classes={3: 0, 4: 3})
    voxels = tuple(np.argwhere(value == CLASSES).astype(np.int32) for value in (1, 2))
    real = Pictured(
        image=CLASSES[None].astype(np.float32), classes=CLASSES, spacing_mm=(1, 1, 1), voxels=voxels
    )
    patches = Patches(
        [Source(pictured=real, regions=None)],
        dataset.recipe,
        plan(patch=(32, 16, 16)),
        swaps=sides_of(dataset),
    )
    assert sides_of_patches(patches) == {(1, "low"), (2, "high")}
    assert input_of(plan(), dataset).mirror == ()


@pytest.mark.parametrize("name", ["left kidney", "kidney_R", "ctx-lh-cuneus"])
def test_a_class_of_one_side_is_not_mirrored(name):
    background, other = NAMELESS[0], label(2, "other")
    dataset = described((background, label(1, name), other))
    assert [entry.name for entry in one_sided(dataset)] == [name]
    assert input_of(plan(), dataset).mirror == ()


@pytest.mark.parametrize("name", ["lobe", "leftover", "L4"])
def test_a_class_without_a_side_is_mirrored(name):
    background, other = NAMELESS[0], label(2, "other")
    assert input_of(plan(), described((background, label(1, name), other))).mirror == (0,)


def test_one_side_whose_other_the_recipe_knows_is_mirrored():
    background, other = NAMELESS[0], label(2, "other")
    dataset = described(
        (background, label(1, "left kidney"), other), recipe=Recipe(swaps=((1, 3),)), classes={3: 0}
    )
    assert one_sided(dataset) == ()


def test_what_is_learnt_of_large_values_takes_no_table_of_them():
    dataset = described(classes={2**31 - 1: 2, 7: 1})
    assert dataset.learnt(np.array([0, 7, 2**31 - 1, 7], np.int32)).tolist() == [0, 1, 2, 1]


def test_more_classes_than_a_byte_holds_are_refused():
    with pytest.raises(ContractError, match="257 classes; 256 are kept"):
        described(tuple(label(value, f"class {value}") for value in range(257)))

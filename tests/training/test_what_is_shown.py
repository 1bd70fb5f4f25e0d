"""What a network is shown while it learns is what it is shown when it is used."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medseg.plugin import Channel
from medseg.training.continuing import continue_beyond
from medseg.training.contracts import input_of, mirrors
from medseg.training.dataset import Dataset, label
from medseg.training.deformation import Deformation, sample_at
from medseg.training.patches import Patches, Source
from medseg.training.plan import Plan
from medseg.training.prepared import Pictured
from medseg.training.synthesis import Recipe, Regions, synthesise

PLAN = Plan(
    architecture="unets:unet3d",
    loss="builtin:dice-ce",
    spacing_mm=(1, 1, 1),
    patch=(8, 8, 8),
    foreground=1.0,
    steps=20,
    epoch_steps=20,
)
STILL = Deformation(rotation_degrees=0, scaling=0, shearing=0, displacement_mm=0, mirror=False)


def dataset(**more):
    channel = Channel(name="T1w", modality="MR", unit="arbitrary")
    labels = (label(0, "background"), label(1, "organ"))
    return Dataset(name="d", channels=(channel,), labels=labels, cases=(), **more)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 4), (1, 1, 1)])
def test_beyond_an_image_there_is_nothing(shape):
    """As windows that reach over it are filled; a single slice is not eight of them."""
    image, classes = np.full((1, *shape), 0.5, np.float32), np.ones(shape, np.uint8)
    voxels = (np.argwhere(classes).astype(np.int32),)
    source = Source(
        pictured=Pictured(image=image, classes=classes, spacing_mm=(1, 1, 1), voxels=voxels), regions=None
    )
    patches = Patches([source], Recipe(deformation=STILL), PLAN)
    patches._intensities = lambda image, rng: image
    for number in range(10):
        seen, learnt = patches[number]
        assert 0 < int(learnt.sum()) <= np.prod(shape)
        assert torch.equal(seen[0] > 0.25, learnt > 0)


def test_along_an_axis_of_one_voxel_positions_beyond_it_are_outside():
    positions = np.array([[[[0, 0, k] for k in (-1, 0, 1)]]], np.float32)
    found = sample_at(torch.ones(2, 2, 1), positions, nearest=True)
    assert found.flatten().tolist() == [0, 1, 0]


@pytest.mark.parametrize("mirror", [True, False])
def test_a_recipe_that_does_not_mirror_is_kept_to(mirror):
    described = dataset(recipe=Recipe(deformation=replace(STILL, mirror=mirror)))
    assert mirrors(PLAN, described) == mirror
    assert input_of(PLAN, described).mirror == ((0,) if mirror else ())


def test_a_map_that_is_not_to_be_continued_stays_whatever_touches_its_border():
    labels = np.full((6, 6, 6), 2, np.uint8)
    assert continue_beyond(labels, (0, 1, 0), reach_mm=0, spacing_mm=1.0) is labels


def test_contrasts_of_regions_beyond_those_of_a_map_are_passed_over():
    regions = Regions(labels=np.ones((8, 8, 8), np.uint8), spacing_mm=(1, 1, 1), classes=(0, 1))
    recipe = Recipe(deformation=STILL, contrasts={7: (0.2, 0.4)}, contrast_share=1.0)
    image, _ = synthesise(
        regions,
        centre=(4, 4, 4),
        shape=(8, 8, 8),
        spacing_mm=(1, 1, 1),
        recipe=recipe,
        rng=np.random.default_rng(0),
    )
    assert image.shape == (8, 8, 8)


def test_objects_that_are_told_to_be_background_are_not_learnt():
    described = dataset(instances=True, classes={2: 0})
    assert described.learnt(np.array([0, 1, 2, 3])).tolist() == [0, 1, 0, 1]

"""The scheme against scikit-image's Chan-Vese and against objects that are known."""

import math

import numpy as np
import pytest
import torch
from medseg_contours.differences import curvature, lattice_of
from medseg_contours.distance import signed_distance
from medseg_contours.evolution import Evolution, evolve
from medseg_contours.regions import RegionMeans, standardise
from scipy import ndimage
from skimage.segmentation import chan_vese, morphological_chan_vese


def ball(shape, spacing, radius, centre=0.0):
    """Signed distance (1,1,*S), float64, in mm."""
    axes = [
        (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * h - centre
        for n, h in zip(shape, spacing, strict=True)
    ]
    return (radius - sum(x**2 for x in torch.meshgrid(*axes, indexing="ij")).sqrt())[None, None]


def overlap(a, b):
    return (np.logical_and(a, b).sum() / np.logical_or(a, b).sum()).item()


def noisy(truth, sigma, contrast=1.0):
    rng = np.random.default_rng(0)
    return contrast * truth + rng.normal(0, sigma, truth.shape)


def test_one_step_is_scikit_images():
    """Its delta is ours times pi, its means are of the mask, its image is scaled to 0..1."""
    phi = ball((64, 64), (1.0, 1.0), 15.0) + 0.5
    image = noisy((ball((64, 64), (1.0, 1.0), 20.0)[0, 0] > 0).numpy(), 0.2)
    image = (image - image.min()) / (image.max() - image.min())
    dt, mu = 1e-4, 0.25
    _, theirs, _ = chan_vese(
        image,
        mu=mu,
        dt=dt,
        max_num_iter=1,
        tol=0,
        init_level_set=phi[0, 0].numpy(),
        extended_output=True,
    )
    lattice = lattice_of((1.0, 1.0), phi)
    means = RegionMeans(torch.from_numpy(image)[None, None], lattice, region="global", window_mm=1.0)
    within, beyond = means.squared_residuals((phi > 0).double())
    force = mu * curvature(phi, lattice.steps) + beyond - within
    ours = (force / (math.pi * (1 + phi**2)) * math.pi)[0, 0].numpy()
    moved = (theirs - phi[0, 0].numpy()) / dt
    near = phi[0, 0].abs().numpy() < 3

    assert np.linalg.norm(ours[near] - moved[near]) / np.linalg.norm(moved[near]) < 0.06
    assert np.corrcoef(ours[near], moved[near])[0, 1] > 0.998


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3, 0.4])
def test_the_papers_form_ends_where_scikit_images_does(sigma):
    truth = (ball((64, 64), (1.0, 1.0), 20.0)[0, 0] > 0).numpy()
    image = noisy(truth, sigma * 0.4, contrast=0.4)
    start = ball((64, 64), (1.0, 1.0), 15.0)
    theirs = chan_vese(
        image,
        mu=0.1 * 0.04,  # its image is not standardised: forces are smaller by the variance
        dt=10,
        max_num_iter=1000,
        tol=0,
        init_level_set=start[0, 0].numpy(),
    )
    evolution = Evolution(
        speed="dirac", reinit_every=0, region="global", means="arctan", mu=0.1, dt=0.5, cap=10.0
    )
    ours = evolve(
        start,
        standardise(torch.from_numpy(image)[None, None]),
        (1.0, 1.0),
        evolution=evolution,
        iterations=300,
    )

    assert overlap((ours[0, 0] > 0).numpy(), theirs) > 0.96


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((64, 64), (1.0, 1.0)),
        ((32, 64), (2.0, 1.0)),
        ((40, 40, 40), (1.0, 1.0, 1.0)),
        ((20, 40, 40), (2.0, 1.0, 1.0)),
    ],
)
def test_it_finds_a_noisy_ball_also_on_long_voxels(shape, spacing):
    radius = 20.0 if len(shape) == 2 else 13.0
    truth = (ball(shape, spacing, radius)[0, 0] > 0).numpy()
    image = noisy(truth, 0.1)
    start = ball(shape, spacing, 0.7 * radius, centre=1.5)
    end = evolve(
        start,
        standardise(torch.from_numpy(image)[None, None]),
        spacing,
        evolution=Evolution(region="global"),
        iterations=120,
    )
    found = (end[0, 0] > 0).numpy()

    assert overlap(found, truth) > 0.97
    if len(set(spacing)) == 1:  # scikit-image's morphology takes every voxel for a cube
        morphological = morphological_chan_vese(image, 60, init_level_set=(start[0, 0] > 0).numpy())
        assert overlap(found, morphological > 0) > 0.93


def bad_masks(truth):
    """The three damages of the acceptance test: too large, too small, displaced and blurred."""
    yield "dilated", ndimage.binary_dilation(truth, iterations=3)
    yield "eroded", ndimage.binary_erosion(truth, iterations=3)
    shifted = np.roll(truth, 4, axis=-1).astype(float)
    yield "displaced", ndimage.gaussian_filter(shifted, 2) > 0.5


@pytest.mark.parametrize(("shape", "spacing"), [((80, 80), (1.0, 1.0)), ((20, 40, 40), (2.0, 1.0, 1.0))])
def test_a_damaged_mask_of_a_textured_object_gets_better(shape, spacing):
    """An object with ripples on a background with a bias field."""
    rng = np.random.default_rng(1)
    axes = np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)], indexing="ij"
    )
    r = np.sqrt(sum(x**2 for x in axes))
    angle = np.arctan2(axes[-1], axes[-2])
    radius = min(n * h for n, h in zip(shape, spacing, strict=True)) / 3.2
    truth = r < radius * (1 + 0.15 * np.cos(4 * angle))
    bias = 0.5 * axes[-1] / np.abs(axes[-1]).max()
    image = truth + bias + 0.15 * np.sin(axes[-1] / 2) + rng.normal(0, 0.2, shape)
    standard = standardise(torch.from_numpy(image)[None, None])
    gains = {}
    for damage, mask in bad_masks(truth):
        start = torch.from_numpy(signed_distance(mask, spacing)).double()[None, None]
        end = evolve(start, standard, spacing, evolution=Evolution(window_mm=10.0), iterations=60)
        after, before = (dice(x, truth) for x in ((end[0, 0] > 0).numpy(), mask))
        gains[damage] = after - before

    assert min(gains.values()) >= 0.02, gains


def dice(a, b):
    return 2 * np.logical_and(a, b).sum() / (a.sum() + b.sum())

"""The numerical scheme against exact solutions of its equation."""

import math

import numpy as np
import pytest
import torch
from medseg_contours.differences import curvature, lattice_of, slope_length
from medseg_contours.distance import restore_distance, signed_distance
from medseg_contours.evolution import Evolution, along_front, evolve
from medseg_contours.regions import RegionMeans, heaviside
from scipy import ndimage

CURVATURE_ALONE = {"lambda1": 0.0, "lambda2": 0.0}


def positions(shape, spacing):
    """Millimetres from the middle along each axis, float64."""
    axes = [
        (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)
    ]
    return torch.meshgrid(*axes, indexing="ij")


def ball(shape, spacing, radius):
    """Signed distance (1,1,*S) to a ball in the middle, in mm."""
    return (radius - sum(x**2 for x in positions(shape, spacing)).sqrt())[None, None]


def mean_radius(phi, spacing):
    """From the volume that phi encloses, in mm; the Heaviside function gives part of a voxel."""
    ml = heaviside(phi / min(spacing), eps=1.0, form="sine").sum() * math.prod(spacing)
    return math.sqrt(ml / math.pi) if len(spacing) == 2 else (3 * ml / (4 * math.pi)) ** (1 / 3)


def front_radii(phi, spacing):
    """Distance of each zero crossing between neighbours to the middle, in mm."""
    points = torch.stack(positions(phi.shape[2:], spacing))
    radii = []
    for axis in range(len(spacing)):
        n = phi.shape[axis + 2]
        a, b = phi[0, 0].narrow(axis, 0, n - 1), phi[0, 0].narrow(axis, 1, n - 1)
        crossing = (a > 0) != (b > 0)
        p, q = points.narrow(axis + 1, 0, n - 1)[:, crossing], points.narrow(axis + 1, 1, n - 1)[:, crossing]
        part = a[crossing] / (a[crossing] - b[crossing])
        radii.append((p + part * (q - p)).norm(dim=0))
    return torch.cat(radii)


EXACT = [
    ((64, 64), (1.0, 1.0), 20.0, 0.01),
    ((40, 40, 40), (1.0, 1.0, 1.0), 14.0, 0.01),
    ((32, 64), (2.0, 1.0), 20.0, 0.01),
    ((22, 64), (3.0, 1.0), 20.0, 0.02),
]


@pytest.mark.parametrize(("shape", "spacing", "radius", "tolerance"), EXACT)
def test_curvature_flow_shrinks_a_ball_at_the_exact_rate(shape, spacing, radius, tolerance):
    """Whole |grad phi|, no band: R^2 falls by 2 t on a disc and by 4 t on a ball, and it stays round."""
    phi = ball(shape, spacing, radius)
    lattice = lattice_of(spacing, phi)
    dt = 0.45 / sum(float(1 / h**2) for h in lattice.steps)
    duration = 30.0
    count = round(duration / dt)
    before = front_radii(phi, spacing).square().mean()
    for _ in range(count):
        phi = phi + dt * curvature(phi, lattice.steps, eta=1e-3) * slope_length(phi, lattice.steps, eta=1e-3)
    radii = front_radii(phi, spacing)
    rate = (before - radii.square().mean()) / (2 * (len(shape) - 1) * count * dt)

    assert rate.item() == pytest.approx(1, abs=tolerance)
    assert radii.max() - radii.min() < 0.1 * max(spacing)


PRODUCTION = [
    ((64, 64), (1.0, 1.0), 20.0),
    ((32, 64), (2.0, 1.0), 20.0),
    ((40, 40, 40), (1.0, 1.0, 1.0), 14.0),
    ((20, 40, 40), (2.0, 1.0, 1.0), 14.0),
]


@pytest.mark.parametrize(("shape", "spacing", "radius"), PRODUCTION)
def test_the_whole_scheme_shrinks_a_ball_at_nearly_the_exact_rate(shape, spacing, radius):
    phi = ball(shape, spacing, radius)
    before = front_radii(phi, spacing).square().mean()
    evolution = Evolution(mu=1.0, region="global")
    stiffness = sum((min(spacing) / h) ** 2 for h in spacing)
    dt = min(evolution.dt, 0.45 / stiffness)
    count = round(40 / dt)
    phi = evolve(
        phi, torch.zeros_like(phi), spacing, evolution=evolution, iterations=count, **CURVATURE_ALONE
    )
    rate = (before - front_radii(phi, spacing).square().mean()) / (2 * (len(shape) - 1) * count * dt)

    assert rate.item() == pytest.approx(1, abs=0.08)


def relative_difference(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("shape", [(64, 64), (40, 44, 44)])
def test_the_curvature_force_is_the_slope_of_the_length(shape):
    """Autograd of the sum of |grad H(phi)| against delta(phi) times the curvature, on a wavy sheet."""
    differences = []
    spacing = (1.0,) * len(shape)
    first, *others = positions(shape, spacing)
    sheet = first + sum(3 * torch.cos(x / 6 + n) for n, x in enumerate(others))
    inner = (slice(None), slice(None), *[slice(3, -3)] * len(shape))  # the border has one-sided slopes
    for eps in (3.0, 6.0):
        phi = sheet[None, None].clone().requires_grad_()
        lattice = lattice_of(spacing, phi)
        slope_length(heaviside(phi, eps=eps), lattice.steps, eta=1e-9).sum().backward()
        delta = eps / (math.pi * (eps**2 + phi**2))
        force = (delta * curvature(phi, lattice.steps, eta=1e-9)).detach()
        differences.append(relative_difference(-phi.grad[inner], force[inner]))

    assert differences[0] < 0.03
    assert differences[0] / differences[1] > 2


def test_the_region_force_is_the_slope_of_the_region_energy():
    torch.manual_seed(0)
    image = torch.randn(1, 1, 24, 20, dtype=torch.float64)
    phi = ball((24, 20), (1.0, 1.0), 6.0).requires_grad_()
    lattice = lattice_of((1.0, 1.0), phi)
    means = RegionMeans(image, lattice, region="global", window_mm=1.0)
    inside = heaviside(phi)
    within, beyond = means.squared_residuals(inside.detach())
    (2 * within * inside + 3 * beyond * (1 - inside)).sum().backward()
    delta = 1 / (math.pi * (1 + phi**2))

    assert relative_difference(-phi.grad, (delta * (3 * beyond - 2 * within)).detach()) < 1e-12


@pytest.fixture
def textured():
    generator = torch.Generator().manual_seed(3)
    phi = ball((18, 16, 14), (1.0, 1.0, 1.0), 5.0)
    image = 1.5 * (phi > -1) + 0.5 * torch.randn(phi.shape, generator=generator, dtype=torch.float64)
    weights = torch.rand((2, *phi.shape), generator=generator, dtype=torch.float64) + 0.5
    return phi, image, weights[0], weights[1]


def run(phi, image, spacing, *, iterations=12, lambda1=1.0, lambda2=1.0, **settings):
    evolution = Evolution(**{"window_mm": 4.0, **settings})
    return evolve(
        phi, image, spacing, evolution=evolution, iterations=iterations, lambda1=lambda1, lambda2=lambda2
    )


@pytest.mark.parametrize("region", ["local", "global"])
def test_exchanging_inside_and_outside_changes_the_sign_alone(textured, region):
    phi, image, l1, l2 = textured
    there = run(phi, image, (1.0, 1.0, 1.0), lambda1=l1, lambda2=l2, region=region)
    back = run(-phi, image, (1.0, 1.0, 1.0), lambda1=l2, lambda2=l1, region=region)

    assert (there + back).abs().max() < 1e-10


@pytest.mark.parametrize("turn", ["transpose", "flip"])
def test_turning_the_image_turns_the_result(textured, turn):
    phi, image, *_ = textured
    spacing = (2.0, 1.0, 1.5)
    straight = run(phi, image, spacing)
    if turn == "flip":
        turned = run(phi.flip(3), image.flip(3), spacing).flip(3)
    else:
        turned = run(phi.transpose(2, 4), image.transpose(2, 4), spacing[::-1]).transpose(2, 4)

    assert (straight - turned).abs().max() < 1e-10


def test_every_slice_of_an_extruded_image_moves_as_the_image_does():
    torch.manual_seed(0)
    phi = ball((20, 20), (1.0, 1.0), 6.0)
    image = (phi > -2) + 0.2 * torch.randn_like(phi)
    flat = run(phi, image, (1.0, 1.0), mu=0.2, dt=0.3, region="global")
    solid = run(
        *(x[:, :, None].expand(-1, -1, 6, -1, -1) for x in (phi, image)),
        (2.0, 1.0, 1.0),
        mu=0.2,
        dt=0.3,
        region="global",
    )

    assert (solid - flat[:, :, None]).abs().max() < 1e-5


def test_the_unit_of_length_does_not_matter(textured):
    phi, image, *_ = textured
    small = run(phi, image, (1.0, 1.5, 2.0))
    large = run(10 * phi, image, (10.0, 15.0, 20.0), window_mm=40.0)

    assert (large / 10 - small).abs().max() < 1e-10


def test_samples_of_a_batch_keep_their_own_spacing(textured):
    phi, image, *_ = textured
    spacings = torch.tensor([[1.0, 1.0, 1.0], [3.0, 1.0, 2.0]], dtype=torch.float64)
    together = run(phi.repeat(2, 1, 1, 1, 1), image.repeat(2, 1, 1, 1, 1), spacings)

    for b, spacing in enumerate(spacings):
        torch.testing.assert_close(together[b : b + 1], run(phi, image, spacing))


def test_one_ellipsoid_shrinks_alike_on_three_grids():
    """By curvature alone for t = 30; with the spacing ignored a quarter would become a hundredth."""
    left = []
    for hz in (1.0, 2.0, 3.0):
        shape = (round(48 / hz), 40, 40)
        z, y, x = positions(shape, (hz, 1.0, 1.0))
        size = ((z / 18) ** 2 + (y / 13) ** 2 + (x / 13) ** 2).sqrt()
        mask = (size < 1).numpy()
        phi = torch.from_numpy(signed_distance(mask, (hz, 1.0, 1.0)))[None, None]
        mu = 0.5
        stiffness = mu * (2 + hz**-2)
        count = round(30 / mu / min(0.5, 0.45 / stiffness))
        end = evolve(
            phi,
            torch.zeros_like(phi),
            (hz, 1.0, 1.0),
            evolution=Evolution(mu=mu, region="global"),
            iterations=count,
            **CURVATURE_ALONE,
        )
        left.append(((end > 0).sum() / mask.sum()).item())

    assert max(left) - min(left) < 0.04
    assert 0.15 < min(left) < 0.4


def test_a_front_crosses_slices_that_are_eight_times_as_thick_as_voxels_are_wide():
    spacing = (8.0, 1.0, 1.0)
    z, y, x = positions((9, 40, 40), spacing)
    truth = ((z / 24) ** 2 + (y / 14) ** 2 + (x / 14) ** 2) < 1
    torch.manual_seed(0)
    image = (truth + 0.1 * torch.randn(truth.shape))[None, None].double()
    begin = (z.abs() < 4) & (y**2 + x**2 < 64)
    phi = torch.from_numpy(signed_distance(begin.numpy(), spacing))[None, None].double()
    evolution = Evolution(mu=0.2, region="global")
    end = evolve(phi, (image - image.mean()) / image.std(), spacing, evolution=evolution, iterations=200)
    found = end[0, 0] > 0

    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95


def test_one_front_becomes_two_discs():
    y, x = positions((48, 80), (1.0, 1.0))
    discs = ((y**2 + (x - 18) ** 2) < 100) | ((y**2 + (x + 18) ** 2) < 100)
    torch.manual_seed(0)
    image = (discs + 0.1 * torch.randn(discs.shape))[None, None].float()
    image = (image - image.mean()) / image.std()
    start = torch.from_numpy(signed_distance((y.abs() < 16) & (x.abs() < 34), (1.0, 1.0)))[None, None]
    end = evolve(
        start,
        image,
        (1.0, 1.0),
        evolution=Evolution(mu=0.5, region="global"),
        iterations=300,
    )
    found = (end[0, 0] > 0).numpy()
    assert ndimage.label(found)[1] == 2
    assert (found & discs.numpy()).sum() / (found | discs.numpy()).sum() > 0.97


def test_restoring_the_distance_leaves_a_ball_where_it_is():
    for spacing in ((1.0, 1.0, 1.0), (2.0, 1.0, 1.0)):
        phi = ball((round(32 / spacing[0]), 32, 32), spacing, 10.0)
        end = restore_distance(phi, lattice_of(spacing, phi).steps, times=60)
        assert front_radii(end, spacing).mean().item() == pytest.approx(10, rel=0.03)


def test_a_steep_map_becomes_a_distance_near_its_front():
    phi = ball((40, 40), (1.0, 1.0), 10.0)
    steep = 3 * phi + 0.5 * phi * torch.sin(positions((40, 40), (1.0, 1.0))[0])
    end = restore_distance(steep, lattice_of((1.0, 1.0), phi).steps, times=20)
    near = phi.abs() < 3

    assert (end - phi)[near].abs().max() < 0.5
    assert (steep - phi)[near].abs().max() > 3


def test_signed_distance_is_exact_around_a_plane():
    mask = np.zeros((6, 5, 5), bool)
    mask[3:] = True
    np.testing.assert_allclose(
        signed_distance(mask, (2.0, 3.0, 3.0))[:, 2, 2], [-5, -3, -1, 1, 3, 5], atol=1e-6
    )
    assert (signed_distance(~np.zeros((3, 4), bool), (1.0, 1.0)) == 5).all()
    assert (signed_distance(np.zeros((3, 4), bool), (1.0, 1.0)) == -5).all()


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="it compares a GPU with the CPU, and there is none here"
)
@pytest.mark.parametrize("region", ["local", "global"])
def test_a_gpu_moves_the_contour_as_the_cpu_does(region):
    """In float64 to rounding; in float32 by less than a tenth of a voxel at the front."""
    torch.manual_seed(0)
    spacing = (2.0, 1.0, 1.0)
    phi = ball((16, 32, 32), spacing, 8.0)
    image = (ball((16, 32, 32), spacing, 11.0) > 0) + 0.2 * torch.randn_like(phi)
    for kind, tolerance in ((torch.float64, 1e-9), (torch.float32, 0.1)):
        ends = [
            run(
                phi.to(device, kind),
                image.to(device, kind),
                spacing,
                iterations=40,
                region=region,
                pool_mm=3.0,
            ).cpu()
            for device in ("cpu", "cuda")
        ]
        near = ends[0].abs() < 2
        assert (ends[0] - ends[1])[near].abs().max() < tolerance


@pytest.mark.parametrize("pool_mm", [2.0, 5.0])
def test_pooling_the_pull_keeps_a_uniform_one_and_all_symmetries(textured, pool_mm):
    phi, image, l1, l2 = textured
    there = run(phi, image, (1.0, 1.0, 1.0), lambda1=l1, lambda2=l2, pool_mm=pool_mm)
    back = run(-phi, image, (1.0, 1.0, 1.0), lambda1=l2, lambda2=l1, pool_mm=pool_mm)
    flipped = run(
        phi.flip(3), image.flip(3), (1.0, 1.0, 1.0), lambda1=l1.flip(3), lambda2=l2.flip(3), pool_mm=pool_mm
    )
    lattice = lattice_of((1.0, 1.0, 1.0), phi)
    uniform = along_front(torch.full_like(phi, 0.7), phi, lattice, Evolution(pool_mm=pool_mm))

    assert (there + back).abs().max() < 1e-10
    assert (there - flipped.flip(3)).abs().max() < 1e-10
    torch.testing.assert_close(uniform, torch.full_like(phi, 0.7))


def test_what_pulls_no_harder_than_hold_moves_nothing(textured):
    phi, image, *_ = textured
    still = run(phi, image, (1.0, 1.0, 1.0), hold=1e3, reinit_every=0)
    assert torch.equal(still, phi)


def test_an_evolution_in_parts_is_the_whole_one(textured):
    phi, image, *_ = textured
    evolution = Evolution(window_mm=4.0)
    whole = evolve(phi, image, (1.0, 1.0, 1.0), evolution=evolution, iterations=13)
    for begin, end in ((0, 4), (4, 11), (11, 13)):
        phi = evolve(phi, image, (1.0, 1.0, 1.0), evolution=evolution, iterations=end - begin, done=begin)
    assert torch.equal(phi, whole)

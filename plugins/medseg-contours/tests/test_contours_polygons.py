"""DSAC and DARNet: their steps against exact solutions, and outlines that they find."""

import math

import numpy as np
import pytest
import torch
from medseg_contours import polygon
from medseg_contours.differences import lattice_of
from medseg_contours.losses import ContourLoss
from medseg_contours.rays import RayHead, RayLoss, move_rays, rays_to_border
from medseg_contours.snake import SnakeHead, move_snake, stiffness
from scipy import ndimage

from medseg.errors import OptionError
from medseg.plugin import Output

SPACINGS = [(1.0, 1.0), (2.0, 1.0)]


def grid(shape, spacing):
    """Millimetres from the middle along each axis, float64."""
    axes = [
        (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)
    ]
    return torch.meshgrid(*axes, indexing="ij")


def shapes(shape, spacing):
    """A disc, a rectangular building and a star that rays from the middle reach: where they are."""
    y, x = grid(shape, spacing)
    r, angle = (y**2 + x**2).sqrt(), torch.atan2(x, y)
    return {
        "disc": r < 15,
        "building": (y.abs() < 12) & (x.abs() < 18),
        "star": r < 14 * (1 + 0.2 * torch.cos(5 * angle)),
    }


def dips_at_border(mask, spacing):
    """D: the distance to the border, cut off far from it, as a network that has learned would draw it."""
    inside = ndimage.distance_transform_edt(mask.numpy(), sampling=spacing)
    outside = ndimage.distance_transform_edt(~mask.numpy(), sampling=spacing)
    return torch.from_numpy(np.minimum(np.maximum(inside, outside) - 0.5, 25))[None, None] / min(spacing)


def overlap(phi, mask):
    found = phi[0, 0] > 0
    return (2 * (found & mask).sum() / (found.sum() + mask.sum())).item()


CASES = [(name, spacing) for spacing in SPACINGS for name in ("disc", "building")]


@pytest.mark.parametrize(("name", "spacing"), CASES)
def test_a_snake_finds_discs_and_buildings(name, spacing):
    shape = (round(64 / spacing[0]), 64)
    mask = shapes(shape, spacing)[name]
    data = dips_at_border(mask, spacing)
    lattice = lattice_of(spacing, data)
    start = polygon.circle(polygon.middle(shape, lattice), torch.tensor([[8.0]]).double(), nodes=60)
    weight = torch.full_like(data, 0.01)
    end = move_snake(
        start,
        data=data,
        alpha=weight,
        beta=weight,
        kappa=torch.zeros_like(data),
        lattice=lattice,
        iterations=100,
    )
    assert overlap(polygon.rendered(end, shape, lattice), mask) > 0.95


@pytest.mark.parametrize(("name", "spacing"), [*CASES, ("star", (1.0, 1.0)), ("star", (2.0, 1.0))])
def test_rays_find_discs_and_buildings(name, spacing):
    shape = (round(64 / spacing[0]), 64)
    mask = shapes(shape, spacing)[name]
    data = dips_at_border(mask, spacing)
    lattice = lattice_of(spacing, data)
    rho = torch.full((1, 1, 60), 8.0, dtype=torch.float64)
    rho = move_rays(
        rho,
        data=data,
        beta=torch.full_like(data, 0.01),
        kappa=torch.zeros_like(data),
        lattice=lattice,
        iterations=100,
    )
    centre = polygon.middle(shape, lattice)[:, :, None]
    outline = centre + rho[..., None] * polygon.directions(60, like=rho)
    assert overlap(polygon.rendered(outline, shape, lattice), mask) > 0.95


def test_stiffness_lets_a_wave_of_the_outline_decay_at_the_exact_rate():
    """Wave k of a closed contour is an eigenvector: 1 / (1 + 2 gamma (alpha w / ds + beta w^2 / ds^2))."""
    nodes, alpha, beta, gamma, ds = 24, 0.3, 0.2, 0.7, 1.5
    weights = torch.ones(1, 1, nodes, dtype=torch.float64)
    matrix = stiffness(alpha * weights, beta * weights, torch.full((1, 1), ds).double())[0, 0]
    for k in (1, 3, 8):
        wave = torch.cos(2 * math.pi * k * torch.arange(nodes).double() / nodes)
        w = 2 - 2 * math.cos(2 * math.pi * k / nodes)
        after = torch.linalg.solve(torch.eye(nodes).double() + 2 * gamma * matrix, wave)
        expected = wave / (1 + 2 * gamma * (alpha * w / ds + beta * w**2 / ds**2))
        torch.testing.assert_close(after, expected, rtol=1e-12, atol=1e-12)


def test_a_balloon_moves_every_node_outwards_by_tanh_of_kappa():
    """Whichever way round the nodes run; momentum 1/2 brings the speed up to it."""
    data = torch.zeros(1, 1, 60, 60, dtype=torch.float64)
    lattice = lattice_of((1.0, 1.0), data)
    start = polygon.circle(polygon.middle((60, 60), lattice), torch.tensor([[8.0]]).double(), nodes=40)
    for nodes in (start, start.flip(2)):
        end = move_snake(
            nodes,
            data=data,
            alpha=data,
            beta=data,
            kappa=data + 0.5,
            lattice=lattice,
            iterations=12,
        )
        centre = polygon.middle((60, 60), lattice)[:, :, None]
        radius = (end - centre).square().sum(-1).sqrt()
        pace = sum(1 - 0.5**n for n in range(1, 13))
        torch.testing.assert_close(
            radius, torch.full_like(radius, 8 + pace * math.tanh(0.5)), rtol=1e-3, atol=0
        )


def test_what_is_outside_the_image_pulls_at_no_node():
    """A map that pulls outwards with all its force: nodes stop once out, and gradients stay finite."""
    y, x = grid((24, 24), (1.0, 1.0))
    data = (-10 * (y**2 + x**2).sqrt())[None, None].requires_grad_()
    lattice = lattice_of((1.0, 1.0), data)
    none = torch.zeros_like(data)
    start = polygon.circle(polygon.middle((24, 24), lattice), torch.tensor([[8.0]]).double(), nodes=20)
    end = move_snake(start, data=data, alpha=none, beta=none, kappa=none, lattice=lattice, iterations=200)
    centre = polygon.middle((24, 24), lattice)[:, :, None]
    rho = torch.full((1, 1, 20), 8.0).double()
    rays = move_rays(rho, data=data, beta=none, kappa=none, lattice=lattice, iterations=200)

    assert (end - centre).abs().max() < 11.5 + 2
    assert rays.max() < 11.5 * math.sqrt(2) + 1.5
    (end.sum() + rays.sum()).backward()
    assert data.grad.isfinite().all()
    assert data.grad.abs().max() < 1e3


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_rendered_polygon_is_its_signed_distance(spacing):
    shape = (round(40 / spacing[0]), 40)
    like = torch.zeros(1, 1, *shape, dtype=torch.float64)
    lattice = lattice_of(spacing, like)
    nodes = polygon.circle(polygon.middle(shape, lattice), torch.tensor([[11.0]]).double(), nodes=720)
    y, x = grid(shape, spacing)

    phi = polygon.rendered(nodes, shape, lattice)[0, 0]
    assert (phi - (11 - (y**2 + x**2).sqrt())).abs().max() < 1e-3
    assert polygon.area(nodes).item() == pytest.approx(math.pi * 121, rel=1e-4)


def test_a_square_is_rendered_with_its_corners():
    like = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    lattice = lattice_of((1.0, 1.0), like)
    square = torch.tensor([[4.0, 4], [4, 14], [14, 14], [14, 4]]).double()[None, None]
    phi = polygon.rendered(square, (20, 20), lattice)[0, 0]

    assert phi[9, 9] == pytest.approx(5)
    assert phi[9, 17] == pytest.approx(-3)
    assert phi[17, 18].item() == pytest.approx(-5)
    assert (phi > 1e-3).sum() == 9 * 9


@pytest.mark.parametrize("method", ["snake", "rays"])
def test_the_gradient_by_every_map_is_that_of_finite_differences(method):
    torch.manual_seed(0)
    shape, spacing = (6, 8), (1.3, 1.0)
    maps = [torch.randn(1, 1, *shape, dtype=torch.float64) for _ in range(4)]
    maps = [
        m.requires_grad_() for m in (0.5 * maps[0], maps[1].abs() * 0.2, maps[2].abs() * 0.2, 0.3 * maps[3])
    ]
    lattice = lattice_of(spacing, maps[0])
    start = polygon.circle(polygon.middle(shape, lattice), torch.tensor([[2.03]]).double(), nodes=6)

    def snake(data, alpha, beta, kappa):
        end = move_snake(start, data=data, alpha=alpha, beta=beta, kappa=kappa, lattice=lattice, iterations=3)
        return polygon.rendered(end, shape, lattice)

    def rays(data, alpha, beta, kappa):
        rho = torch.full((1, 1, 6), 2.03, dtype=torch.float64)
        return move_rays(rho, data=data, beta=beta + alpha, kappa=kappa, lattice=lattice, iterations=3)

    assert torch.autograd.gradcheck({"snake": snake, "rays": rays}[method], tuple(maps))


def test_rays_of_a_mask_are_its_radii():
    shape, spacing = (32, 64), (2.0, 1.0)
    mask = shapes(shape, spacing)["star"].double()[None, None]
    lattice = lattice_of(spacing, mask)
    rho = rays_to_border(mask, rays=60, lattice=lattice)
    angle = torch.arange(60).double() * (2 * math.pi / 60)

    assert (rho[0, 0] - 14 * (1 + 0.2 * torch.cos(5 * angle))).abs().max() < 1.5
    assert (rays_to_border(torch.zeros_like(mask), rays=60, lattice=lattice) == 0).all()


def learn(head, loss, *, spacing, steps, lr):
    """Features that tell inside from outside, as a backbone would; the overlap before and after."""
    shape = (round(48 / spacing[0]), 48)
    mask = shapes(shape, spacing)["building"]
    signed = (15 - sum(abs(c) for c in grid(shape, spacing)) / 2).float()
    blurred = torch.from_numpy(ndimage.gaussian_filter(mask.float().numpy(), 2 / np.array(spacing)))
    features = torch.stack((blurred, signed / 15, torch.ones(shape)))[None]
    target = mask[None].long()
    adam = torch.optim.Adam(head.parameters(), lr=lr)
    overlaps = []
    for _ in range(steps):
        output = head(features, features[:, :1], torch.tensor(spacing))
        overlaps.append(overlap(output.extras["phi"], mask))
        value = loss(output, target)
        adam.zero_grad()
        value.backward()
        adam.step()
    return overlaps[0], overlaps[-1]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_snake_learns_end_to_end(spacing):
    torch.manual_seed(0)
    before, after = learn(SnakeHead(3, 2, n_iter=20), ContourLoss(), spacing=spacing, steps=25, lr=0.1)
    assert before < 0.85
    assert after > 0.9


@pytest.mark.parametrize("spacing", SPACINGS)
def test_rays_learn_end_to_end(spacing):
    torch.manual_seed(0)
    before, after = learn(RayHead(3, 2, n_iter=20), RayLoss(), spacing=spacing, steps=25, lr=0.3)
    assert before < 0.85
    assert after > 0.9


def test_an_untrained_head_keeps_its_circle():
    for head in (SnakeHead(4, 2, radius_mm=6.0), RayHead(4, 2, radius_mm=6.0)):
        torch.nn.init.zeros_(head.maps.weight)
        torch.nn.init.zeros_(head.maps.bias[:1])
        output = head(torch.randn(1, 4, 32, 32), torch.randn(1, 1, 32, 32), torch.ones(2))
        area = (output.extras["phi"] > 0).sum().item()
        assert area == pytest.approx(math.pi * 36, rel=0.15)


def test_the_loss_of_rays_counts_classes_that_hold_the_middle():
    target = torch.zeros(1, 32, 32, dtype=torch.long)
    target[:, 8:24, 8:24] = 2
    right = rays_to_border(
        (target == 2)[:, None].float(), rays=60, lattice=lattice_of((1.0, 1.0), target[:, None].float())
    )
    rho = torch.cat((torch.full_like(right, 99.0), right + 1), dim=1)
    extras = {"rho": rho, "prob": torch.zeros(1, 2, 32, 32), "spacing_mm": torch.ones(1, 2)}
    loss = RayLoss()(Output(logits=torch.zeros(1, 3, 32, 32), extras=extras), target)

    assert loss.item() == pytest.approx(0.1)


def test_numbers_out_of_range_are_refused():
    for head in (SnakeHead, RayHead):
        with pytest.raises(OptionError, match="wants dims=2"):
            head(4, 2, dims=3)
        with pytest.raises(OptionError, match="n_iter >= 0"):
            head(4, 2, n_iter=-1)
    with pytest.raises(OptionError, match="scale_mm > 0"):
        RayLoss(scale_mm=0.0)

"""Gradients through an evolution: exact, finite, and good for learning."""

import pytest
import torch
from medseg_contours.differences import lattice_of
from medseg_contours.distance import signed_distance
from medseg_contours.evolution import Evolution, evolve
from medseg_contours.regions import heaviside, standardise


def disc(shape, radius):
    axes = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in shape]
    return (radius - sum(x**2 for x in torch.meshgrid(*axes, indexing="ij")).sqrt())[None, None]


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((6, 5), (1.0, 1.5)), pytest.param((3, 4, 3), (2.0, 1.0, 1.0), marks=pytest.mark.slow)],
)
def test_the_gradient_is_that_of_finite_differences(shape, spacing):
    """By phi, the image and both weights, through five iterations with re-initialisation and cap."""
    torch.manual_seed(0)
    phi = (disc(shape, 2.0) + 0.1 * torch.randn(1, 1, *shape, dtype=torch.float64)).requires_grad_()
    image = torch.randn(1, 1, *shape, dtype=torch.float64, requires_grad=True)
    weights = (torch.rand(2, 1, 1, *shape, dtype=torch.float64) + 0.5).requires_grad_()
    evolution = Evolution(reinit_every=2, window_mm=2.0)

    def end(phi, image, weights):
        return evolve(
            phi,
            standardise(image),
            spacing,
            evolution=evolution,
            iterations=5,
            lambda1=weights[0],
            lambda2=weights[1],
        )

    assert torch.autograd.gradcheck(end, (phi, image, weights))


def test_the_gradient_by_mu_is_that_of_finite_differences():
    torch.manual_seed(0)
    phi = disc((7, 6), 2.0)
    image = torch.randn(1, 1, 7, 6, dtype=torch.float64)

    def end(mu):
        return evolve(phi, image, (1.0, 1.5), evolution=Evolution(mu=mu, reinit_every=2), iterations=3)

    assert torch.autograd.gradcheck(end, torch.tensor(0.5, dtype=torch.float64, requires_grad=True))


STARTS = {
    "distance": lambda phi: phi,
    "clipped": lambda phi: phi.clamp(-4, 4),
    "binary": torch.sign,
    "constant": torch.ones_like,
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("region", ["local", "global"])
def test_gradients_through_sixty_iterations_stay_small_also_from_plateaus(start, region):
    torch.manual_seed(0)
    truth = disc((96, 96), 25.0).float()
    image = standardise((truth > 0) + 0.3 * torch.randn_like(truth))
    phi0 = STARTS[start](truth + 4).requires_grad_()
    phi = evolve(phi0, image, (1.0, 1.0), evolution=Evolution(region=region), iterations=60)
    p = heaviside(phi)
    (1 - 2 * (p * (truth > 0)).sum() / (p.sum() + (truth > 0).sum())).backward()

    assert phi0.grad.isfinite().all()
    assert phi0.grad.norm() < 1


def soft_dice(p, truth):
    return 2 * (p * truth).sum() / (p.sum() + truth.sum())


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((32, 32), (1.0, 1.0)),
        ((24, 32), (2.0, 1.0)),
        pytest.param((10, 16, 16), (2.0, 1.0, 1.0), marks=pytest.mark.slow),
    ],
)
def test_weights_learn_through_the_contour_on_an_image_of_noise(shape, spacing):
    """Noise says nothing of the object: only right gradients of the weights can bring the contour to it."""
    torch.manual_seed(0)
    object_ = (disc(shape, min(shape) / 3) > 0).float()
    start = torch.roll(object_, 3, dims=-1)[0, 0].bool().numpy()
    phi0 = torch.from_numpy(signed_distance(start, spacing))[None, None]
    image = torch.randn(1, 1, *shape)
    raw = torch.zeros(2, 1, 1, *shape, requires_grad=True)
    adam = torch.optim.Adam([raw], lr=0.2)
    scores = []
    for _ in range(41):
        weights = torch.exp(2 * torch.tanh(raw))
        phi = evolve(
            phi0,
            image,
            spacing,
            evolution=Evolution(window_mm=5.0),
            iterations=15,
            lambda1=weights[0],
            lambda2=weights[1],
        )
        loss = 1 - soft_dice(heaviside(phi / lattice_of(spacing, phi).unit_mm), object_)
        adam.zero_grad()
        loss.backward()
        adam.step()
        scores.append(soft_dice((phi > 0).float(), object_).item())

    assert scores[-1] - scores[0] >= 0.08


@pytest.mark.parametrize("every", [1, 4, 5, 7])
def test_computing_again_on_the_way_back_gives_the_same_gradient(every):
    torch.manual_seed(0)
    image = torch.randn(1, 1, 20, 18)
    gradients = []
    for checkpoint_every in (0, every):
        phi0 = disc((20, 18), 5.0).float().requires_grad_()
        phi = evolve(
            phi0,
            image,
            (1.0, 1.0),
            evolution=Evolution(),
            iterations=12,
            checkpoint_every=checkpoint_every,
        )
        phi.square().mean().backward()
        gradients.append(phi0.grad)

    assert torch.equal(*gradients)

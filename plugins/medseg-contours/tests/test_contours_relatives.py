"""The recurrent level set and the vector field: what they compute before and after learning."""

import math

import numpy as np
import pytest
import torch
from medseg_contours.differences import lattice_of
from medseg_contours.losses import ContourLoss
from medseg_contours.recurrent import RecurrentLevelSet
from medseg_contours.vector_field import VectorFieldHead, VectorFieldLoss, advect, vectors_to_boundary
from torch import nn

from medseg.plugin import Output


def disc(shape, spacing, radius, shift=0.0):
    axes = [
        (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * h - shift
        for n, h in zip(shape, spacing, strict=True)
    ]
    return (radius - sum(x**2 for x in torch.meshgrid(*axes, indexing="ij")).sqrt())[None, None]


@pytest.mark.parametrize(("shape", "spacing"), [((24, 24), (1.0, 1.0)), ((10, 16, 16), (2.0, 1.0, 1.0))])
def test_a_cell_without_weights_keeps_its_contour(shape, spacing):
    head = RecurrentLevelSet(1, 2, dims=len(shape))
    for parameter in head.candidate.parameters():
        nn.init.zeros_(parameter)
    nn.init.ones_(head.first.weight)
    nn.init.zeros_(head.first.bias)
    phi = disc(shape, spacing, 7.0)
    output = head(phi, torch.randn_like(phi), torch.tensor(spacing))

    assert torch.equal(output.extras["phi"] > 0, phi > 0)
    assert output.extras["phi"].abs().max() <= 10 * min(spacing)


def test_the_recurrent_cell_learns_to_correct_a_displaced_contour():
    torch.manual_seed(0)
    target = (disc((24, 24), (1.0, 1.0), 7.0) > 0)[:, 0].long()
    image = target[:, None] + 0.2 * torch.randn(1, 1, 24, 24)
    displaced = disc((24, 24), (1.0, 1.0), 7.0, shift=2.0)
    head = RecurrentLevelSet(1, 2, dims=2)
    with torch.no_grad():
        head.first.weight.fill_(1.0)
        head.first.bias.zero_()
    head.first.requires_grad_(False)
    adam = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], lr=0.02)
    values = []
    for _ in range(40):
        loss = ContourLoss(first_weight=0.0)(head(displaced, image, torch.ones(2)), target)
        adam.zero_grad()
        loss.backward()
        adam.step()
        values.append(loss.item())

    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0)])
def test_vectors_of_a_disc_point_along_its_radius_in_millimetres(spacing):
    shape = (round(40 / spacing[0]), 40)
    phi = disc(shape, spacing, 12.0)[0, 0].numpy()
    vectors = vectors_to_boundary(phi > 0, spacing)

    length = np.linalg.norm(vectors, axis=0)
    assert np.abs(length - np.abs(phi)).max() < max(spacing)
    slopes = np.stack(np.gradient(phi, *spacing))
    near = (np.abs(phi) > 3) & (np.abs(phi) < 8)
    cosine = (vectors * slopes * -np.sign(phi)).sum(axis=0) / (length * np.linalg.norm(slopes, axis=0))
    assert cosine[near].min() > 0.8


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0)])
def test_a_true_field_carries_a_contour_to_the_boundary_where_it_stays(spacing):
    shape = (round(40 / spacing[0]), 40)
    truth = disc(shape, spacing, 12.0)
    vectors = torch.from_numpy(vectors_to_boundary(truth[0, 0].numpy() > 0, spacing))
    lattice = lattice_of(spacing, truth)
    phi = disc(shape, spacing, 8.0, shift=1.0)
    scores = []
    for step in range(40):
        phi = advect(phi, [v[None, None] for v in vectors], lattice)
        if step in (19, 39):
            both = (phi > 0) & (truth > 0)
            scores.append(2 * both.sum() / ((phi > 0).sum() + (truth > 0).sum()))

    assert scores[0] > 0.97
    assert scores[1] > 0.97


def test_advection_by_a_constant_field_moves_a_disc_by_the_fields_length():
    phi = disc((40, 40), (1.0, 1.0), 8.0)
    lattice = lattice_of((1.0, 1.0), phi)
    right = [torch.zeros_like(phi), torch.full_like(phi, 5.0)]
    moved = phi
    for _ in range(10):
        moved = advect(moved, right, lattice)
    x = torch.arange(40.0).expand(40, 40)
    centre = [(x * (m[0, 0] > 0)).sum() / (m > 0).sum() for m in (phi, moved)]

    assert (centre[1] - centre[0]).item() == pytest.approx(10 * 0.5 * math.tanh(5), abs=0.3)


def test_the_vector_field_loss_is_small_for_the_true_field_alone():
    truth = disc((24, 24), (1.0, 1.0), 8.0)
    target = (truth > 0)[:, 0].long()
    right = torch.from_numpy(vectors_to_boundary(target[0].bool().numpy(), (1.0, 1.0)))[None]
    values = []
    for field in (right, torch.zeros_like(right), -right):
        prob = (truth > 0).float()
        extras = {"prob": prob, "prob0": prob, "field": field, "spacing_mm": torch.ones(1, 2)}
        values.append(VectorFieldLoss()(Output(logits=truth, extras=extras), target).item())

    assert values[0] < 1e-3 < values[1] < values[2]


def test_the_vector_field_head_learns():
    torch.manual_seed(0)
    head = VectorFieldHead(2, 2, dims=3)
    spacing = (2.0, 1.0, 1.0)
    truth = disc((8, 16, 16), spacing, 5.0)
    target = (truth > 0)[:, 0].long()
    features = torch.cat((truth, torch.ones_like(truth)), dim=1)
    adam = torch.optim.Adam(head.parameters(), lr=0.05)
    values = []
    for _ in range(20):
        loss = VectorFieldLoss()(head(features, truth, torch.tensor(spacing)), target)
        adam.zero_grad()
        loss.backward()
        adam.step()
        values.append(loss.item())

    assert values[-1] < 0.8 * values[0]

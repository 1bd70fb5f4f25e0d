"""The gates of Attention U-Net."""

import pytest
import torch
from medseg_unets.attention_unet import AttentionGate, AttentionUNet
from monai.networks.nets.attentionunet import AttentionBlock
from torch import nn
from torch.nn import functional as F

from medseg.plugin import Output


@pytest.mark.parametrize(("dims", "shape"), [(2, (32, 48)), (3, (16, 32, 16))])
def test_gate_maps_are_read_out_by_level_and_lie_in_0_1(dims, shape):
    torch.manual_seed(0)
    network = AttentionUNet(1, 2, dims=dims, width=2).eval()
    maps = network.gate_maps(torch.randn(2, 1, *shape))

    assert sorted(maps) == [1, 2, 3]  # the finest skip is not gated
    for level, alpha in maps.items():
        assert alpha.shape == (2, 1, *(n // 2**level for n in shape))
        assert 0 <= alpha.min() < alpha.max() <= 1


def gate(*, dims=2, bias=0.7):
    torch.manual_seed(0)
    made = AttentionGate(3, 5, dims=dims).double()
    nn.init.constant_(made.psi.bias, bias)
    return made


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("idle", ["psi", "W"])
def test_a_gate_without_weights_is_the_sigmoid_of_its_bias_everywhere(dims, idle):
    made = gate(dims=dims)
    for layer in [made.psi] if idle == "psi" else [made.W_x, made.W_g]:
        nn.init.zeros_(layer.weight)
    if idle == "W":
        nn.init.zeros_(made.W_g.bias)
    x = torch.randn(2, 3, *[8] * dims, dtype=torch.float64)
    alpha = made(x, torch.randn(2, 5, *[4] * dims, dtype=torch.float64))

    torch.testing.assert_close(alpha, torch.full_like(alpha, torch.sigmoid(torch.tensor(0.7)).item()))
    assert alpha.shape == (2, 1, *[8] * dims)


def test_the_gate_follows_the_coarser_level():
    made = gate()
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    g = torch.randn(1, 5, 4, 4, dtype=torch.float64, requires_grad=True)
    made(x, g)[0, 0, 0, 0].backward()

    assert g.grad[..., 0, 0].any()
    assert not g.grad[..., 2:, 2:].any()


@pytest.mark.parametrize(("dims", "mode"), [(2, "bilinear"), (3, "trilinear")])
def test_the_additive_gate_is_monais_on_the_coarse_grid(dims, mode):
    """MONAI's works on one grid; on a skip that is constant in blocks of 2 ours meets it there."""
    ours = gate(dims=dims)
    theirs = AttentionBlock(dims, f_int=3, f_g=5, f_l=3).double().eval()
    for norm in (theirs.W_g[1], theirs.W_x[1], theirs.psi[1]):
        norm.eps = 0.0  # a fresh batch norm then changes nothing
    with torch.no_grad():
        theirs.W_x[0].conv.weight.copy_(ours.W_x.weight.flatten(2).sum(dim=2).reshape(3, 3, *[1] * dims))
        theirs.W_x[0].conv.bias.zero_()
        theirs.W_g[0].conv.load_state_dict(ours.W_g.state_dict())
        theirs.psi[0].conv.load_state_dict(ours.psi.state_dict())
    coarse = torch.rand(2, 3, *[4] * dims, dtype=torch.float64) + 0.1
    g = torch.randn(2, 5, *[4] * dims, dtype=torch.float64)

    their_alpha = (theirs(g, coarse) / coarse)[:, :1]  # it returns the gated skip
    expected = F.interpolate(their_alpha, scale_factor=2, mode=mode)
    torch.testing.assert_close(ours(F.interpolate(coarse, scale_factor=2), g), expected)


def test_a_constant_gate_scales_the_skip():
    """Half-open gates are the same as open gates on skips of half the size."""
    torch.manual_seed(0)
    network = AttentionUNet(1, 2, dims=2, width=2, depth=2).double().eval()
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    (only,) = network.gates
    nn.init.zeros_(only.psi.weight)
    nn.init.zeros_(only.psi.bias)  # sigmoid(0) = 1/2
    half_open = network(x)
    nn.init.constant_(only.psi.bias, 50.0)  # sigmoid(50) = 1 to double precision
    open_ = network(x)
    with torch.no_grad():
        network.decoder[1][0].weight[:, :4] /= 2  # the four channels of the gated skip

    torch.testing.assert_close(network(x), half_open)
    assert not torch.allclose(open_, half_open)


def test_gates_begin_nearly_open():
    torch.manual_seed(0)
    network = AttentionUNet(1, 2, dims=2)
    maps = network.gate_maps(torch.randn(1, 1, 64, 64))
    assert all(alpha.mean() > 0.9 for alpha in maps.values())


def test_deep_supervision_gives_the_coarser_levels_in_training_alone():
    network = AttentionUNet(1, 3, dims=2, width=2, deep_supervision=True)
    x = torch.randn(2, 1, 32, 48)
    output = network(x)

    assert isinstance(output, Output)
    assert output.logits.shape == (2, 3, 32, 48)
    assert {name: tuple(side.shape) for name, side in output.extras.items()} == {
        "side-1": (2, 3, 16, 24),
        "side-2": (2, 3, 8, 12),
        "side-3": (2, 3, 4, 6),
    }
    sum(side.sum() for side in (output.logits, *output.extras.values())).backward()
    assert all(p.grad is not None for p in network.parameters())
    assert network.eval()(x).shape == (2, 3, 32, 48)

"""Gradients in bfloat16 are those of float32, but for rounding, however few voxels there are."""

import pytest
import torch
from torch import nn

from medseg.training.small_convolutions import compute_small_in_float32


def gradient(layer, x, *, autocast):
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = layer(x)
    y.float().square().mean().backward()
    return layer.weight.grad.clone()


@pytest.mark.parametrize("shape", [(4, 4, 4), (2, 8, 8), (8, 8, 2), (1, 1, 1), (5, 6, 7)])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv3d(64, 64, 5, padding=2),
        lambda: nn.Conv3d(64, 32, 3, padding=1),
        lambda: nn.ConvTranspose3d(32, 32, 3, stride=2, padding=1),
    ],
)
def test_few_voxels_have_the_gradients_of_float32(make, shape):
    torch.manual_seed(0)
    network = nn.Sequential(make())
    names = list(network.state_dict())
    compute_small_in_float32(network)
    assert list(network.state_dict()) == names
    for seed in range(3):
        channels = network[0].in_channels
        x = torch.randn(1, channels, *shape, generator=torch.Generator().manual_seed(seed))
        expected = gradient(network[0], x, autocast=False)
        found = gradient(network[0], x, autocast=True)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.03 * float(expected.abs().max()))

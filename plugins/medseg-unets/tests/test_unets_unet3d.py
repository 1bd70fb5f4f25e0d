"""3D U-Net against its paper."""

import pytest
import torch
from medseg_unets.unet3d import UNet3D
from torch import nn


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_papers_configuration_has_the_papers_number_of_parameters():
    """The paper's 19,069,955 holds one parameter for each normalised channel, batch norm has two."""
    assert parameters(UNet3D(3, 3, norm="none")) == 19_069_955

    network = UNet3D(3, 3)
    normalised = sum(m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm3d))
    assert normalised == (32 + 64) + (64 + 128) + (128 + 256) + (256 + 512) + 2 * (256 + 128 + 64)
    assert parameters(network) - normalised == 19_069_955


def test_the_papers_tile_turns_132_132_116_into_44_44_28():
    network = UNet3D(1, 2, width=1, padding="valid").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 132, 132, 116)).shape == (1, 2, 44, 44, 28)


def test_channels_double_before_pooling_and_last_through_the_up_convolution():
    network = UNet3D(3, 3)
    convolutions = [
        [(m.in_channels, m.out_channels) for m in stage if isinstance(m, nn.Conv3d)]
        for stage in (*network.encoder, *network.decoder)
    ]

    assert convolutions == [  # figure 2
        [(3, 32), (32, 64)],
        [(64, 64), (64, 128)],
        [(128, 128), (128, 256)],
        [(256, 256), (256, 512)],
        [(256 + 512, 256), (256, 256)],
        [(128 + 256, 128), (128, 128)],
        [(64 + 128, 64), (64, 64)],
    ]
    assert [(up.in_channels, up.out_channels) for up in network.up] == [(512, 512), (256, 256), (128, 128)]


def test_batch_norm_stands_before_each_relu_and_only_the_last_layer_has_a_bias():
    network = UNet3D(1, 2, width=2)
    stages = [[type(layer).__name__ for layer in stage] for stage in (*network.encoder, *network.decoder)]
    with_bias = [
        m for m in network.modules() if isinstance(m, nn.Conv3d | nn.ConvTranspose3d) and m.bias is not None
    ]

    assert stages == [["Conv3d", "BatchNorm3d", "ReLU"] * 2] * 7
    assert with_bias == [network.head]


@pytest.mark.parametrize("shape", [(9, 12, 5), (16, 8, 8)])
def test_mirrored_borders_return_any_size(shape):
    network = UNet3D(1, 2, width=1, depth=1, padding="mirror").eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, *shape)).shape == (1, 2, *shape)


def test_it_learns_to_copy_a_blob():
    torch.manual_seed(0)
    network = UNet3D(1, 2, width=4, depth=2)
    target = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    target[:, 2:6, 2:6, 2:6] = 1
    image = target[:, None] + 0.3 * torch.randn(1, 1, 8, 8, 8)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(image), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < 0.2 * losses[0]

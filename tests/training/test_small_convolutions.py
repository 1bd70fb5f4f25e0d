"""However few voxels there are, outputs and gradients are those of torch without oneDNN."""

import pytest
import torch
from torch import nn

from medseg.training.small_convolutions import grow_small_images

LAYERS = {
    "5": lambda: nn.Conv3d(64, 64, 5, padding=2),
    "3": lambda: nn.Conv3d(64, 32, 3, padding=1),
    "7 by strides": lambda: nn.Conv3d(64, 32, 7, stride=2, padding=3),
    "same, dilated": lambda: nn.Conv3d(8, 16, (3, 5, 1), padding="same", dilation=(2, 1, 1)),
    "valid": lambda: nn.Conv3d(8, 16, (1, 2, 2), padding="valid", stride=(2, 1, 1)),
    "reflected": lambda: nn.Conv3d(8, 16, 3, padding=(0, 1, 0), padding_mode="replicate"),
    "transposed": lambda: nn.ConvTranspose3d(32, 32, 3, stride=2, padding=1, output_padding=1),
    "transposed 2": lambda: nn.ConvTranspose3d(16, 8, 2, stride=2),
    "transposed, dilated": lambda: nn.ConvTranspose3d(
        16, 8, (5, 3, 1), padding=(1, 0, 0), dilation=(1, 2, 1)
    ),
}


def of(layer, x, push=None):
    """Output, and the gradients of weights and image."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y = layer(x)
    push = torch.ones_like(y) if push is None else push
    y.backward(push.to(y.dtype))
    return y.detach().float(), layer.weight.grad.clone(), x.grad


@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 8, 8), (8, 8, 3), (5, 6, 7), (7, 7, 7), (9, 9, 9)], ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_few_voxels_are_convolved_as_torch_does_without_onednn(kind, shape, monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(LAYERS[kind]())
    layer, names = network[0], list(network.state_dict())
    x = torch.randn(2, layer.in_channels, *shape)
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.mkldnn, "enabled", False)
        push = torch.randn_like(layer(x))
        expected = of(layer, x, push)
    grow_small_images(network)
    assert list(network.state_dict()) == names
    for autocast, tolerance in ((False, 1e-4), (True, 0.03)):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = of(layer, x, push)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


def test_an_image_too_small_is_refused_as_by_torch():
    network = nn.Sequential(nn.Conv3d(1, 1, 5))
    grow_small_images(network)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        network(torch.zeros(1, 1, 4, 4, 4))


def test_a_given_output_size_is_kept():
    network = nn.Sequential(nn.ConvTranspose3d(1, 1, 3, stride=2))
    grow_small_images(network)
    assert network[0](torch.zeros(1, 1, 2, 2, 2), output_size=[6, 5, 6]).shape == (1, 1, 6, 5, 6)

"""Channels last is a matter of speed: the numbers stay."""

import copy

import pytest
import torch
from torch import Tensor, nn

from medseg.segmenter import build
from medseg.training.layout import ChannelsLastInstanceNorm, lay_channels_last


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_and_its_gradients_are_torchs(batch: int, affine: bool) -> None:
    torch.manual_seed(0)
    plain = nn.InstanceNorm3d(5, affine=affine).double()
    if affine:
        nn.init.normal_(plain.weight)
        nn.init.normal_(plain.bias)
    laid = copy.deepcopy(plain)
    lay_channels_last(laid)
    assert type(laid) is ChannelsLastInstanceNorm
    image = torch.randn(batch, 5, 4, 6, 7, dtype=torch.float64) * 3 + 10
    weights = torch.randn_like(image)
    found = []
    for norm in (plain, laid):
        x = image.clone(memory_format=torch.channels_last_3d).requires_grad_()
        y = norm(x)
        (y * weights).sum().backward()
        found.append([y.detach(), x.grad, *(p.grad for p in norm.parameters())])
    assert found[1][0].is_contiguous(memory_format=torch.channels_last_3d)
    for expected, got in zip(*found, strict=True):
        assert isinstance(got, Tensor)
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_a_network_keeps_its_names_and_its_outputs() -> None:
    torch.manual_seed(0)
    plain = build("unet3d", in_channels=1, out_channels=3, options={"width": 4, "norm": "instance"})
    laid = copy.deepcopy(plain)
    lay_channels_last(laid)
    assert list(laid.state_dict()) == list(plain.state_dict())
    image = torch.rand(2, 1, 16, 16, 16)
    torch.testing.assert_close(laid(image).logits, plain(image).logits, rtol=1e-4, atol=1e-4)


def test_statistics_that_a_norm_keeps_are_left_alone() -> None:
    norm = nn.InstanceNorm3d(2, track_running_stats=True)
    lay_channels_last(norm)
    assert type(norm) is nn.InstanceNorm3d

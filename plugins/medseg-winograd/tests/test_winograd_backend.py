"""Networks through the backend against the same networks in torch."""

import threading
import warnings

import monai.networks.nets as monai
import pytest
import torch
from medseg_winograd.backend import winograd
from medseg_winograd.machine import machine, registers_of
from torch import nn
from torch.nn import functional as F

from medseg.registry import default_registry
from medseg.segmenter import build

SIZE = (32, 32, 64)


def medseg_network(name, **options):
    network = build(name, in_channels=2, out_channels=3, options=options, registry=default_registry())
    return network.backbone


def nnunet(kind):
    return medseg_network(
        f"nnunet:{kind}",
        features=(8, 16, 32),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    )


NETWORKS = {
    "nnU-Net's plain": lambda: nnunet("plain-unet"),
    "nnU-Net's residual": lambda: nnunet("residual-unet"),
    "unet3d": lambda: medseg_network("unets:unet3d"),
    "attention": lambda: medseg_network("unets:attention-unet"),
    "unetpp": lambda: medseg_network("unets:unetpp"),
    "vnet": lambda: medseg_network("vnet:vnet"),
    "linknet": lambda: medseg_network("linknet:linknet"),
    "MONAI's BasicUNet": lambda: monai.BasicUNet(3, 2, 3, features=(8, 8, 16, 32, 32, 8)),
    "MONAI's UNet": lambda: monai.UNet(3, 2, 3, (8, 16, 32), (2, 2), num_res_units=2),
    "MONAI's DynUNet": lambda: monai.DynUNet(
        3, 2, 3, [[3, 3, 3]] * 3, [[1, 1, 1], [2, 2, 2], [2, 2, 1]], [[2, 2, 2], [2, 2, 1]], res_block=True
    ),
    "MONAI's SegResNet": lambda: monai.SegResNet(3, 8, 2, 3),
}


@pytest.fixture(autouse=True)
def chance():
    torch.manual_seed(0)


def agree(module: nn.Module, image: torch.Tensor) -> torch.Tensor:
    module.eval()
    with torch.inference_mode():
        expected = module(image.clone())
        found = winograd(module, image)(image)
    assert type(found) is torch.Tensor
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_what_it_gives_in_torch(name) -> None:
    network = NETWORKS[name]()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    agree(network, torch.randn(1, 2, *SIZE))


class Steps(nn.Module):
    """A convolution, and something that a network may do with its answer."""

    def __init__(self, then) -> None:
        super().__init__()
        self.conv, self.norm, self.then = nn.Conv3d(2, 4, 3, padding=1), nn.InstanceNorm3d(4), then

    def forward(self, x):
        return self.then(self, self.conv(x))


def scripted(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x) + 1


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    SCRIPTED = torch.jit.script(scripted)


def write_after_reading(net, x):
    y = net.norm(x)
    x += 1
    return torch.cat([x, y, x.mul_(2)], 1)


def write_into_a_view(net, x):
    view = x[:, 1:3]
    y = F.relu(x)
    view.fill_(7)
    return torch.cat([x, y], 1)


def write_between_joining_and_reading(net, x):
    plain = x * 1
    both = torch.cat([plain, net.conv(plain[:, :2])], 1)
    plain.zero_()
    return F.leaky_relu(both, 0.1)


def activate_twice_in_place(net, x):
    y = F.leaky_relu(x, 0.5, True)
    F.relu(y, inplace=True)
    return torch.cat([x, y], 1)


STEPS = {
    "what was normalised is written into": write_after_reading,
    "a view is written into": write_into_a_view,
    "what was joined is written into": write_between_joining_and_reading,
    "in place, twice": activate_twice_in_place,
    "twice activated": lambda net, x: F.elu(F.leaky_relu(net.norm(x), 0.2), 1.0, True),
    "twice normalised": lambda net, x: net.norm(net.norm(x)),
    "normalised, and then by statistics": lambda net, x: F.batch_norm(
        F.instance_norm(x), torch.ones(4), torch.full((4,), 4.0), torch.ones(4), torch.arange(4.0)
    ),
    "activated, and then by statistics": lambda net, x: F.batch_norm(
        F.relu(x), torch.ones(4), torch.full((4,), 4.0)
    ),
    "joined along another axis": lambda net, x: torch.cat([x, net.norm(x)], 2),
    "joined and normalised": lambda net, x: F.instance_norm(torch.cat([x, F.relu(x)], dim=1)),
    "many slopes, also above 1": lambda net, x: F.prelu(x, torch.tensor([0.1, -1.0, 0.0, 3.0])),
    "indexed, flipped, stacked": lambda net, x: torch.stack([x[0].flip(-1), x[0]]).mean(0)[None],
    "asked for its shape": lambda net, x: x.reshape(x.shape[0], -1, *x.size()[3:])[:, : x.ndim + len(x)],
    "its data": lambda net, x: x.data.mT.contiguous(),
    "unused dropout": lambda net, x: F.dropout(x, 0.5, training=False),
    "by weights that are made anew": lambda net, x: F.conv3d(x, net.conv.weight.repeat(1, 2, 1, 1, 1)),
    "in groups": lambda net, x: F.conv3d(x, net.conv.weight, groups=2),
    "dilated": lambda net, x: F.conv3d(x[:, :2], net.conv.weight, dilation=2),
    "by keywords": lambda net, x: F.conv3d(
        input=x[:, :2], weight=net.conv.weight, padding=1, stride=(1, 2, 1)
    ),
    "padded by name": lambda net, x: F.conv3d(x[:, :2], net.conv.weight, padding="same"),
    "joined by another name": lambda net, x: torch.cat([x, net.norm(x)], axis=1),
    "transposed in place": lambda net, x: (x.transpose_(2, 3), x.reshape(x.shape[0], 4, -1))[1],
    "seen by what asks no function": lambda net, x: torch.vmap(lambda v: v * 2)(x),
    "in a scripted function": lambda net, x: SCRIPTED(net.norm(x)),
    "minus infinity, made 0": lambda net, x: F.relu(
        F.batch_norm(x * 1e30, torch.zeros(4), torch.full((4,), 1e-38)).clone()
    ).clamp(max=1),
    "by strides of 3": lambda net, x: F.conv3d(x[:, :2], net.conv.weight, stride=3),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_follows_a_convolution_means_what_it_means_in_torch(name) -> None:
    agree(Steps(STEPS[name]), torch.randn(1, 2, 9, 10, 17))


def test_windows_of_a_batch_are_done_one_by_one() -> None:
    agree(Steps(lambda net, x: net.norm(x)), torch.randn(3, 2, 9, 10, 17))


def test_a_network_of_slices_is_torchs() -> None:
    agree(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), torch.randn(1, 2, 20, 21))


def test_the_same_weights_at_two_sizes_and_two_strides() -> None:
    net = Steps(lambda net, x: F.conv3d(x[:, :2], net.conv.weight, stride=2))
    call = winograd(net.eval(), torch.zeros(1, 2, 8, 8, 8))
    for size in ((9, 10, 17), (16, 8, 8), (9, 10, 17)):
        image = torch.randn(1, 2, *size)
        with torch.inference_mode():
            torch.testing.assert_close(call(image), net(image), rtol=1e-4, atol=1e-4)


def test_the_same_weights_with_two_biases() -> None:
    weight = nn.Parameter(torch.randn(2, 2, 3, 3, 3))
    biases = nn.ParameterList([torch.zeros(2), torch.ones(2)])

    class Twice(nn.Module):
        def forward(self, x):
            return torch.cat([F.conv3d(x, weight, bias) for bias in biases], 1)

    agree(Twice(), torch.randn(1, 2, 9, 10, 17))


def test_weights_that_are_changed_between_two_windows_are_seen() -> None:
    net, image = Steps(lambda net, x: x).eval(), torch.randn(1, 2, 9, 10, 17)
    call = winograd(net, image)
    call(image)
    with torch.no_grad():
        net.conv.weight.mul_(2)
        net.conv.bias.add_(1)
        torch.testing.assert_close(call(image), net(image), rtol=1e-4, atol=1e-4)


def test_a_bias_that_is_made_anew_is_that_of_each_window() -> None:
    net = Steps(lambda net, x: F.conv3d(x[:, :2], net.conv.weight, x.mean((0, 2, 3, 4))))
    call = winograd(net.eval(), torch.zeros(1, 2, 8, 8, 8))
    for image in torch.randn(2, 1, 2, 9, 10, 17):
        with torch.inference_mode():
            torch.testing.assert_close(call(image), net(image), rtol=1e-4, atol=1e-4)


def test_what_a_hook_kept_can_be_used_after_the_call_and_lists_are_plain() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(2, 4, 3, padding=1)

        def forward(self, x):
            y = self.conv(x)
            return [F.relu(y), y]

    net, kept = Both().eval(), []
    net.conv.register_forward_hook(lambda module, given, answer: kept.append(answer))
    image = torch.randn(1, 2, 9, 10, 17)
    found = winograd(net, image)(image)
    with torch.inference_mode():
        expected = net(image)
    torch.testing.assert_close(kept[0].mean(), kept[1].mean(), rtol=1e-4, atol=1e-6)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is torch.Tensor
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda net, x: F.conv3d(x[:, :2], net.conv.weight, nn.Parameter(torch.ones(3))), "bias"),
        (lambda net, x: F.conv3d(x[:, :2], net.conv.weight, padding=-1), "negative padding"),
        (lambda net, x: F.conv3d(x[:, :2], net.conv.weight, stride=0), "non-positive stride"),
        (lambda net, x: F.instance_norm(x, weight=torch.ones(3)), "weight"),
        (lambda net, x: F.instance_norm(net.conv(x[:, :2, :1, :1, :1])), "more than 1 spatial element"),
        (lambda net, x: F.prelu(x, torch.ones(3)), "parameter"),
    ],
)
def test_what_torch_refuses_is_refused_by_torch(wrong, message) -> None:
    call = winograd(Steps(wrong).eval(), torch.zeros(1, 2, 8, 8, 8))
    with pytest.raises((RuntimeError, ValueError), match=message):
        call(torch.randn(1, 2, 8, 8, 8))


def test_under_autocast_torch_decides() -> None:
    call = winograd(Steps(lambda net, x: x).eval(), torch.zeros(1, 2, 8, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        assert call(torch.randn(1, 2, 8, 8, 8)).dtype == torch.bfloat16


def test_a_batch_of_none_and_a_network_that_calls_its_own_backend() -> None:
    calls = []
    net = Steps(lambda net, x: calls[0](x[:, :2, 1:]) if x.shape[2] == 8 else x)
    calls.append(winograd(net.eval(), torch.zeros(1, 2, 8, 8, 8)))
    assert calls[0](torch.zeros(0, 2, 9, 8, 8)).shape == (0, 4, 9, 8, 8)
    assert calls[0](torch.zeros(1, 2, 8, 8, 8)).shape == (1, 4, 7, 8, 8)


def test_an_answer_stays_when_the_next_one_is_made() -> None:
    call = winograd(Steps(lambda net, x: x).eval(), torch.zeros(1, 2, 8, 8, 8))
    first = call(torch.randn(1, 2, 8, 8, 8))
    kept = first.clone()
    call(torch.randn(1, 2, 8, 8, 8))
    assert torch.equal(first, kept)


def test_torch_says_what_is_wrong_with_an_image() -> None:
    call = winograd(Steps(lambda net, x: x).eval(), torch.zeros(1, 2, 8, 8, 8))
    with pytest.raises(RuntimeError, match=r"expected input.* to have 2 channels"):
        call(torch.zeros(1, 3, 8, 8, 8))


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    call = winograd(Steps(lambda net, x: x).eval(), torch.zeros(1, 2, 8, 8, 8))
    call(torch.zeros(1, 2, 8, 8, 8))
    assert threading.active_count() == before


def test_machine_code_is_kept_and_made_anew_if_its_file_is_damaged(tmp_path, monkeypatch) -> None:
    kept = tmp_path / "kernels.bin"
    code = machine(saved=str(kept)).code
    assert kept.read_bytes().endswith(code)
    monkeypatch.setattr("medseg_winograd.machine._made", {})
    monkeypatch.setattr("medseg_winograd.machine._compile", lambda registers: pytest.fail("compiled again"))
    assert machine(saved=str(kept)).code == code
    monkeypatch.setattr("medseg_winograd.machine._made", {})
    monkeypatch.setattr("medseg_winograd.machine._compile", lambda registers: code)
    damaged = kept.read_bytes()[:-1] + b"?"
    kept.write_bytes(damaged)
    assert machine(saved=str(kept)).code == code
    assert kept.read_bytes() != damaged


@pytest.mark.parametrize(
    ("features", "triple", "lanes", "channels"),
    [
        ({"avx512f": True, "avx": True}, "x86_64-linux", 16, 8),
        ({"avx": True}, "x86_64-linux", 8, 4),
        ({}, "arm64-apple-darwin", 4, 8),
        ({}, "x86_64-linux", 4, 4),
    ],
)
def test_registers_are_those_of_the_processor(features, triple, lanes, channels) -> None:
    found = registers_of(features, triple)
    assert (found.lanes, found.channels) == (lanes, channels)

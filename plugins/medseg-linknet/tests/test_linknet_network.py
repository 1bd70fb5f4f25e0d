"""3-D LinkNet: its shapes, and the outputs of the network whose weights it carries."""

from pathlib import Path

import pytest
import torch
from medseg_linknet.linknet import LinkNet
from medseg_linknet.plugin import medseg_models
from safetensors.torch import load_file

from medseg import build
from medseg.errors import ContractError, OptionError
from medseg.weights import load_weights, locate

MODELS = {model.name: model for model in medseg_models()}
PARITY = load_file(Path(__file__).with_name("parity.safetensors"))


def loaded(name):
    network = LinkNet(1, 2).eval()
    load_weights(network, locate(MODELS[name].weights))
    return network


def test_every_stage_has_the_shape_that_the_papers_give():
    """Channels and sizes for 256^3, on the meta device: shapes without arithmetic."""
    shapes = []
    with torch.device("meta"):
        network = LinkNet(1, 2)
        for stage in (network.stem, *network.encoders, *reversed(network.decoders), network.final):
            stage.register_forward_hook(lambda _m, _i, out: shapes.append((out.shape[1], out.shape[2])))
        logits = network(torch.zeros(1, 1, 256, 256, 256))

    assert logits.shape == (1, 2, 256, 256, 256)
    assert shapes == [
        (16, 64),  # stem
        *[(16, 64), (32, 32), (64, 16), (128, 8)],  # encoder
        *[(64, 16), (32, 32), (16, 64), (16, 64)],  # decoder, which adds the encoder's maps of these shapes
        (8, 128),
    ]


def test_it_has_as_many_parameters_as_the_original():
    assert sum(p.numel() for p in LinkNet(1, 2).parameters()) == 2_126_258


@pytest.mark.parametrize("name", MODELS)
def test_the_logits_are_the_original_networks(name):
    """Against outputs of the original network, stored at every third voxel along each axis.

    Float32 convolutions of another build add up in another order, and the stored outputs carry the
    same rounding: they differ from this network in float64 by up to 6e-5 (where the softmax is
    steepest; 2e-7 on average). So the mean must be below 1e-6, 99 % of the voxels within 1e-5, and
    the worst no worse than twice what the reference itself is off from float64. The tensors are
    stored in float32, unchanged.
    """
    x, expected = PARITY["x"], PARITY[name].double()
    network = loaded(name)
    with torch.inference_mode():
        ours = network(x).softmax(1)[0, 1, ::3, ::3, ::3].double()
        exact = network.double()(x.double()).softmax(1)[0, 1, ::3, ::3, ::3]

    difference, rounding = (ours - expected).abs(), (exact - expected).abs()

    assert expected.std() > 0.1  # the outputs say something
    assert rounding.max() < 1e-4  # in float64 it is the same network
    assert difference.mean() < 1e-6
    assert (difference < 1e-5).double().mean() > 0.99
    assert difference.max() <= 2 * rounding.max()


@pytest.mark.parametrize("name", MODELS)
def test_the_stored_weights_are_the_contracts_and_half_precision(name):
    path = locate(MODELS[name].weights)  # size and sha256 are checked there
    tensors = load_file(path)
    assert len(tensors) == len(LinkNet(1, 2).state_dict())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert path.with_name("LICENSE.deepbet.txt").read_text().startswith("MIT License")


def test_sizes_that_do_not_divide_are_refused_with_the_padding():
    with pytest.raises(ContractError, match=r"multiple of 32: pad to \(64, 32, 96\)"):
        LinkNet(1, 2)(torch.zeros(1, 1, 33, 32, 65))


def test_width_and_stages_are_options():
    network = build("linknet:linknet", in_channels=2, out_channels=5, options={"width": 8, "stages": 3})
    assert network(torch.zeros(1, 2, 32, 16, 48)).logits.shape == (1, 5, 32, 16, 48)


def test_two_dimensions_are_refused():
    with pytest.raises(OptionError, match="works in 3 dimensions, not in 2"):
        build("linknet:linknet", in_channels=1, out_channels=2, dims=2)


def test_training_reaches_every_weight():
    torch.manual_seed(0)
    network = LinkNet(1, 2, width=4)
    network(torch.randn(2, 1, 64, 64, 64)).square().mean().backward()
    weights = {name: p for name, p in network.named_parameters() if name.endswith("weight")}
    assert [name for name, p in weights.items() if p.grad is None or not p.grad.any()] == []

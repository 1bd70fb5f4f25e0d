"""What all networks of the plugin promise, reached through medseg as a user reaches them."""

import subprocess
import sys

import pytest
import torch

from medseg import build
from medseg.errors import ContractError, OptionError
from medseg.options import options_of
from medseg.plugin import Output
from medseg.registry import default_registry

SMALL = {
    "unet": {"width": 2},
    "unet3d": {"width": 2},
    "attention-unet": {"width": 2},
    "unetpp": {"width": 2},
}
SHAPES = {2: (32, 16), 3: (16, 32, 16)}
CASES = [(name, dims) for name in SMALL for dims in (2, 3) if (name, dims) != ("unet3d", 2)]


def small(name, dims, **options):
    torch.manual_seed(0)
    return build(f"unets:{name}", in_channels=2, out_channels=3, dims=dims, options=SMALL[name] | options)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_it_builds_by_name_and_scores_every_voxel(name, dims):
    output = small(name, dims)(torch.randn(1, 2, *SHAPES[dims]))

    assert isinstance(output, Output)
    assert output.logits.shape == (1, 3, *SHAPES[dims])
    assert output.logits.isfinite().all()
    assert output.logits.min() < 0


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_head_of_features_is_the_whole_network(name, dims):
    network = small(name, dims).backbone.eval()
    x = torch.randn(2, 2, *SHAPES[dims])
    features = network.forward_features(x)

    assert features.shape == (2, network.num_features, *SHAPES[dims])
    assert torch.equal(network.forward_head(features), network(x))


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_every_parameter_learns(name, dims):
    network = small(name, dims)
    network(torch.randn(2, 2, *SHAPES[dims])).logits.square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.any()] == []


@pytest.mark.parametrize("name", SMALL)
def test_the_stated_divisor_is_what_the_default_network_wants(name):
    (component,) = [
        r.component for r in default_registry().components("architecture") if r.full_name == f"unets:{name}"
    ]
    network = small(name, 3)
    sizes = [component.divisor, 2 * component.divisor, component.divisor]
    assert network.eval()(torch.zeros(1, 2, *sizes)).logits.shape[2:] == tuple(sizes)

    sizes[1] += component.divisor // 2
    with pytest.raises(ContractError, match=f"must be a multiple of {component.divisor}"):
        network(torch.zeros(1, 2, *sizes))


@pytest.mark.parametrize("name", SMALL)
def test_options_are_read_from_text_and_wrong_ones_refused(name):
    registry = default_registry()
    factory = registry.load(registry.find("architecture", f"unets:{name}"))
    assert {"width", "depth", "norm"} <= set(options_of(factory))

    assert small(name, 3, depth="2", norm="instance").backbone.depth == 2
    with pytest.raises(OptionError, match="norm is 'layer'"):
        small(name, 3, norm="layer")


def test_the_entry_module_imports_nothing_heavy():
    code = "import sys, medseg_unets.plugin; print({'torch', 'numpy', 'monai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

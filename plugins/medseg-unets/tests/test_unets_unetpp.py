"""UNet++ against its paper and against MONAI: branches, pruning, ensemble."""

import pytest
import torch
from medseg_unets.unetpp import UNetPlusPlus
from monai.networks.nets.basic_unet import UpCat
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from torch.utils.flop_counter import FlopCounterMode

from medseg.errors import OptionError
from medseg.plugin import Output


def supervised(**options):
    torch.manual_seed(0)
    return UNetPlusPlus(1, 3, dims=2, width=2, deep_supervision=True, **options).double()


@pytest.fixture
def image():
    return torch.randn(2, 1, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def run(network, image, mode):
    network.mode = mode
    return network(image)


def test_the_papers_network_has_9_04_million_parameters():
    """Table of the paper: 9.04 M, in 2-D with three channels and one head."""
    widths = [32, 64, 128, 256, 512]
    expected = 32 + 1  # the head
    for level, width in enumerate(widths):
        above = widths[level - 1] if level else 3
        expected += (9 * above * width + width) + (9 * width * width + width)  # X^{level,0}
        for j in range(1, 5 - level):
            expected += 4 * 2 * width * width + width  # U
            expected += (9 * (j + 1) * width * width + width) + (9 * width * width + width)  # H

    assert sum(p.numel() for p in UNetPlusPlus(3, 1, dims=2).parameters()) == expected
    assert round(expected / 1e6, 2) == 9.04


@pytest.mark.parametrize(("dims", "shape"), [(2, (32, 16)), (3, (16, 16, 16))])
def test_every_branch_computes_what_monais_does_with_the_same_weights(dims, shape):
    torch.manual_seed(0)
    widths = (2, 4, 8, 16, 32)
    relu = ("relu", {"inplace": True})
    theirs = BasicUNetPlusPlus(dims, 1, 3, (*widths, 2), deep_supervision=True, act=relu, norm=None).eval()
    ours = UNetPlusPlus(1, 3, dims=dims, width=2, deep_supervision=True).eval()
    pairs = [(theirs.conv_0_0, ours.backbone[0])]
    pairs += [(getattr(theirs, f"conv_{i}_0"), ours.backbone[i]) for i in range(1, 5)]
    for j in range(1, 5):  # the paper's up-convolutions to level 0 halve the channels as all others do
        setattr(theirs, f"upcat_0_{j}", UpCat(dims, 4, 2 * j, 2, relu, None, bias=True))
        pairs.append((getattr(theirs, f"final_conv_0_{j}"), ours.heads[f"{j}"]))
    for place in ours.node:
        upcat = getattr(theirs, f"upcat_{place.replace(',', '_')}")
        pairs += [(upcat.upsample, ours.up[place]), (upcat.convs, ours.node[place])]
    with torch.no_grad():
        for their_part, our_part in pairs:
            for a, b in zip(their_part.parameters(), our_part.parameters(), strict=True):
                a.copy_(b)
        x = torch.randn(1, 1, *shape)
        branches = theirs(x)

        for d, branch in enumerate(branches, start=1):
            torch.testing.assert_close(run(ours, x, f"L{d}"), branch)


def test_a_pruned_network_gives_exactly_the_full_networks_branch(image):
    network = supervised()
    output = network(image)
    network.eval()

    assert isinstance(output, Output)
    assert list(output.extras) == ["side-1", "side-2", "side-3"]
    assert torch.equal(run(network, image, "last"), output.logits)
    assert torch.equal(run(network, image, "L4"), output.logits)
    for number in (1, 2, 3):
        assert torch.equal(run(network, image, f"L{4 - number}"), output.extras[f"side-{number}"])


def test_pruning_computes_less_the_more_is_pruned(image):
    network = supervised().eval()
    flops = {}
    for mode in ("L1", "L2", "L3", "L4", "ensemble"):
        network.mode = mode
        with FlopCounterMode(display=False) as counter:
            network(image)
        flops[mode] = counter.get_total_flops()

    assert flops["L1"] < flops["L2"] < flops["L3"] < flops["L4"] < flops["ensemble"]
    # L1 by hand: X^{0,0}, X^{1,0}, U and X^{0,1} on 2 x 32 x 48 voxels with 2 channels, 2 operations each.
    fine = 9 * (1 * 2 + 2 * 2 + 4 * 2 + 2 * 2) + 4 * 2 + 2 * 3
    coarse = 9 * (2 * 4 + 4 * 4)
    assert flops["L1"] == 2 * 2 * (32 * 48 * fine + 16 * 24 * coarse)


def test_the_ensemble_is_the_mean_of_the_branches_probabilities(image):
    network = supervised().eval()
    branches = [run(network, image, f"L{d}").softmax(dim=1) for d in (1, 2, 3, 4)]

    ensemble = run(network, image, "ensemble")

    torch.testing.assert_close(ensemble.softmax(dim=1), torch.stack(branches).mean(dim=0))
    assert network.num_features == 4 * 2
    torch.testing.assert_close(network.forward_head(network.forward_features(image)), ensemble)


@pytest.mark.parametrize("mode", ["last", "ensemble", "L2"])
def test_features_for_a_head_are_the_same_in_training_and_after(mode, image):
    network = supervised(mode=mode)
    features = network.forward_features(image)

    assert features.shape[1] == network.num_features
    assert torch.equal(features, network.eval().forward_features(image))


def test_the_mode_does_not_change_training(image):
    network = supervised(mode="L1")
    output = network(image)

    assert set(output.extras) == {"side-1", "side-2", "side-3"}
    total = output.logits.sum() + sum(side.sum() for side in output.extras.values())
    total.backward()
    assert all(p.grad is not None for p in network.parameters())


def test_without_deep_supervision_there_is_one_head_and_one_mode():
    network = UNetPlusPlus(1, 2, dims=2, width=1)
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 2, 16, 16)
    assert list(network.heads) == ["4"]
    with pytest.raises(OptionError, match=r"mode is 'L2'; .* can run last\. .*deep_supervision=True"):
        network.mode = "L2"


def test_a_mode_deeper_than_the_network_is_refused():
    with pytest.raises(OptionError, match=r"mode is 'L3'; with depth=2.* can run last, L1, L2, ensemble"):
        UNetPlusPlus(1, 2, dims=2, width=1, depth=2, deep_supervision=True, mode="L3")


def test_an_ensemble_of_one_class_is_refused():
    with pytest.raises(OptionError, match=r"mode is 'ensemble'; .*out_channels=1"):
        UNetPlusPlus(1, 1, dims=2, width=1, deep_supervision=True, mode="ensemble")

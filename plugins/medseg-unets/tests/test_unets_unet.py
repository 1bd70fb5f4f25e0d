"""U-Net against its paper and against MONAI."""

import math

import numpy as np
import pytest
import torch
from medseg_unets.tiles import border
from medseg_unets.unet import UNet
from monai.networks.nets.basic_unet import BasicUNet, UpCat

from medseg.errors import ContractError, OptionError


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_papers_layout_turns_572_into_388():
    network = UNet(1, 2, dims=2, width=2, padding="valid").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_the_papers_layout_has_the_parameters_that_figure_1_adds_up_to():
    convolutions = [  # (channels in, channels out, weights of one kernel): figure 1, left to right
        *[(1, 64, 9), (64, 64, 9), (64, 128, 9), (128, 128, 9), (128, 256, 9), (256, 256, 9)],
        *[(256, 512, 9), (512, 512, 9), (512, 1024, 9), (1024, 1024, 9)],
        *[(1024, 512, 4), (1024, 512, 9), (512, 512, 9), (512, 256, 4), (512, 256, 9), (256, 256, 9)],
        *[(256, 128, 4), (256, 128, 9), (128, 128, 9), (128, 64, 4), (128, 64, 9), (64, 64, 9), (64, 2, 1)],
    ]
    expected = sum(c_in * c_out * kernel + c_out for c_in, c_out, kernel in convolutions)

    assert len(convolutions) == 23  # "in total the network has 23 convolutional layers"
    assert parameters(UNet(1, 2, dims=2, width=64)) == expected == 31_030_658


def copy_into_monai(ours, dims):
    """MONAI's U-Net with the last up-convolution halving the channels, as in the paper, and our weights."""
    widths = tuple(ours.num_features * 2**level for level in range(5))
    relu = ("relu", {"inplace": True})
    theirs = BasicUNet(dims, 1, 3, (*widths, widths[0]), act=relu, norm=None)
    theirs.upcat_1 = UpCat(dims, widths[1], widths[0], widths[0], relu, None, bias=True)
    pairs = [(theirs.conv_0, ours.encoder[0])]
    pairs += [(getattr(theirs, f"down_{i}"), ours.encoder[i]) for i in range(1, 5)]
    for i in range(4):
        upcat = getattr(theirs, f"upcat_{4 - i}")
        pairs += [(upcat.upsample, ours.up[i]), (upcat.convs, ours.decoder[i])]
    pairs.append((theirs.final_conv, ours.head))
    for their_part, our_part in pairs:
        with torch.no_grad():
            for a, b in zip(their_part.parameters(), our_part.parameters(), strict=True):
                a.copy_(b)
    return theirs


@pytest.mark.parametrize(("dims", "shape"), [(2, (32, 48)), (3, (16, 16, 32))])
def test_it_computes_what_monai_computes_with_the_same_weights(dims, shape):
    torch.manual_seed(0)
    ours = UNet(1, 3, dims=dims, width=4).eval()
    theirs = copy_into_monai(ours, dims).eval()
    x = torch.randn(2, 1, *shape)

    torch.testing.assert_close(ours(x), theirs(x))


def test_a_voxel_sees_as_far_as_the_arithmetic_says():
    """With two poolings four neighbours share a field of 44 voxels, measured by the gradient."""
    network = UNet(1, 1, dims=2, width=2, depth=2, padding="valid", dropout=0.0).double()
    for p in network.parameters():
        p.data.abs_()  # no two paths cancel, no ReLU is shut
    reach = []
    for voxel in range(4, 8):
        x = torch.rand(1, 1, 52, 52, dtype=torch.float64, requires_grad=True)  # -> 12
        network(x)[0, 0, voxel, voxel].backward()
        seen = x.grad[0, 0].sum(dim=1).nonzero().flatten() - (voxel + border(2))
        reach.append((-seen.min().item(), seen.max().item()))

    assert reach == [(20, 23), (21, 22), (22, 21), (23, 20)]


def test_tiles_meet_without_a_seam():
    torch.manual_seed(0)
    network = UNet(1, 2, dims=2, width=3, depth=2, padding="valid").double().eval()
    image = torch.randn(1, 1, 60, 60, dtype=torch.float64)  # -> 20

    whole = network(image)
    left, right = network(image[..., :48]), network(image[..., 12:])  # each -> 8, the second 12 further on

    torch.testing.assert_close(left, whole[..., :8])
    torch.testing.assert_close(right, whole[..., 12:])


@pytest.mark.parametrize("shape", [(9, 20), (44, 1)])
def test_mirrored_borders_give_the_image_its_own_size_and_the_valid_networks_values(shape):
    torch.manual_seed(0)
    mirror = UNet(1, 2, dims=2, width=3, depth=2, padding="mirror").double().eval()
    valid = UNet(1, 2, dims=2, width=3, depth=2, padding="valid").double().eval()
    valid.load_state_dict(mirror.state_dict())
    image = torch.randn(1, 1, *shape, dtype=torch.float64)

    output = mirror(image)

    whole_tiles = [n + -n % 4 for n in shape]  # outputs without padding are multiples of 2^L here
    margins = [(20, tile - n + 20) for n, tile in zip(shape, whole_tiles, strict=True)]
    padded = torch.from_numpy(np.pad(image[0, 0].numpy(), margins, mode="reflect"))[None, None]
    assert output.shape == (1, 2, *shape)
    torch.testing.assert_close(output, valid(padded)[..., : shape[0], : shape[1]])


def test_initial_weights_have_the_papers_spread():
    """Standard deviation sqrt(2/N), N inputs to a unit; biases zero."""
    torch.manual_seed(0)
    network = UNet(1, 2, dims=2, width=32)
    convolution, up = network.encoder[3][2], network.up[0]

    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.02)
    assert up.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
    assert not convolution.bias.any()


def test_dropout_acts_at_the_end_of_the_contracting_path_in_training_alone():
    torch.manual_seed(0)
    network = UNet(1, 2, dims=2, width=4, depth=2)
    x = torch.randn(1, 1, 16, 16)

    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
    assert [any(isinstance(m, torch.nn.Dropout) for m in stage) for stage in network.encoder] == [
        False,
        True,
        True,
    ]


def test_sizes_that_do_not_fit_are_refused_with_the_divisor_and_a_remedy():
    network = UNet(1, 2, dims=2, width=1)
    with pytest.raises(ContractError, match=r"sizes 40 x 32; .* multiple of 16 .* pad to 48 x 32"):
        network(torch.zeros(1, 1, 40, 32))
    valid = UNet(1, 2, dims=2, width=1, padding="valid")
    with pytest.raises(ContractError, match="cannot take size 190"):
        valid(torch.zeros(1, 1, 188, 190))


@pytest.mark.parametrize("option", ["width", "depth"])
def test_an_option_below_one_is_refused(option):
    with pytest.raises(OptionError, match=f"{option} is 0"):
        UNet(1, 2, **{option: 0})


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_norm_stands_before_each_relu_and_takes_the_place_of_the_bias(norm):
    network = UNet(1, 2, dims=2, width=2, depth=2, norm=norm)
    kinds = [type(layer).__name__ for layer in network.encoder[0]]

    assert kinds == ["Conv2d", f"{norm.capitalize()}Norm2d", "ReLU"] * 2
    assert network.encoder[0][0].bias is None

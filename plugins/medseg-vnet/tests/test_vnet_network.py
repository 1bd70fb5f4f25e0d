"""V-Net against its paper and against MONAI's blocks."""

import subprocess
import sys

import pytest
import torch
from medseg_vnet.vnet import VNet
from monai.networks.nets.vnet import DownTransition, InputTransition, UpTransition
from torch import nn

from medseg import build
from medseg.errors import ContractError, OptionError

SHAPES = {2: (32, 48), 3: (16, 32, 16)}


def kernels_of_5(stage):
    return sum(isinstance(m, nn.Conv2d | nn.Conv3d) and m.kernel_size[0] == 5 for m in stage.modules())


def test_every_layer_has_the_shape_of_figure_2():
    """Channels and sizes for 128 x 128 x 64, on the meta device: shapes without arithmetic."""
    shapes = {}
    with torch.device("meta"):
        network = VNet(1, 2)
        for name in ("left", "right"):
            for i, stage in enumerate(getattr(network, name)):
                stage.register_forward_hook(
                    lambda _m, _i, out, key=(name, i): shapes.update({key: tuple(out.shape[1:])})
                )
        logits = network(torch.zeros(1, 1, 128, 128, 64))

    assert logits.shape == (1, 2, 128, 128, 64)
    assert shapes == {
        ("left", 0): (16, 128, 128, 64),
        ("left", 1): (32, 64, 64, 32),
        ("left", 2): (64, 32, 32, 16),
        ("left", 3): (128, 16, 16, 8),
        ("left", 4): (256, 8, 8, 4),
        ("right", 0): (256, 16, 16, 8),
        ("right", 1): (128, 32, 32, 16),
        ("right", 2): (64, 64, 64, 32),
        ("right", 3): (32, 128, 128, 64),
    }


def test_the_fields_of_table_1_follow_from_the_number_of_convolutions():
    """Each kernel of 5 adds 4 voxels of its grid, each kernel of 2 adds 1 of the finer grid."""
    with torch.device("meta"):
        network = VNet(1, 2)
    field, step, fields = 1, 1, []
    for level, stage in enumerate(network.left):
        if level:
            field, step = field + step, 2 * step
        field += 4 * step * kernels_of_5(stage)
        fields.append(field)
    for stage in network.right:
        step //= 2
        field += step + 4 * step * kernels_of_5(stage)
        fields.append(field)

    assert fields == [5, 22, 72, 172, 372, 476, 528, 546, 551]


def test_the_left_path_sees_what_table_1_says():
    """Measured by the gradient of one voxel of each stage, along one axis."""
    network = VNet(1, 2, dims=2, width=1).double()
    for p in network.parameters():
        p.data.abs_()  # no two paths cancel
    x = torch.rand(1, 1, 16, 768, dtype=torch.float64, requires_grad=True)
    fields, map_ = [], x
    for level, stage in enumerate(network.left):
        map_ = stage(network.down[level - 1](map_) if level else map_)
        (gradient,) = torch.autograd.grad(map_[0, 0, 0, map_.shape[-1] // 2], x, retain_graph=True)
        seen = gradient[0, 0].sum(dim=0).nonzero()
        fields.append((seen.max() - seen.min() + 1).item())

    assert fields == [5, 22, 72, 172, 372]


def test_the_papers_network_has_the_parameters_that_its_layers_add_up_to():
    def layer(c_in, c_out, kernel, slopes=True):
        return c_in * c_out * kernel**3 + c_out + (c_out if slopes else 0)  # weights, biases, PReLU slopes

    expected = layer(1, 16, 5)
    for c, count in ((32, 2), (64, 3), (128, 3), (256, 3)):
        expected += layer(c // 2, c, 2) + count * layer(c, c, 5)
    for below, c, count in ((256, 256, 3), (256, 128, 3), (128, 64, 2), (64, 32, 1)):
        expected += layer(below, c // 2, 2) + count * layer(c, c, 5)
    expected += layer(32, 2, 1, slopes=False)

    with torch.device("meta"):
        network = VNet(1, 2)
    assert sum(p.numel() for p in network.parameters()) == expected == 65_175_314


def copy_convolution(theirs, ours):
    with torch.no_grad():
        theirs.weight.copy_(ours.weight)
        if theirs.bias is not None:
            theirs.bias.copy_(ours.bias)  # where MONAI has none, ours is still zero


def without_monais_additions(transition):
    """No dropout, and batch norms that change nothing, as fresh ones do but for their epsilon."""
    transition.double().eval()
    for module in transition.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.eps = 0.0
    return transition


def with_our_weights(theirs, resampler, stage):
    """A transition of MONAI with the weights of one of our down- or up-convolutions and its stage."""
    copy_convolution(theirs.down_conv if hasattr(theirs, "down_conv") else theirs.up_conv, resampler[0])
    theirs.act_function1.load_state_dict(resampler[1].state_dict())
    theirs.act_function2.load_state_dict(stage.activation.state_dict())
    for i, unit in enumerate(theirs.ops):
        copy_convolution(unit.conv_block.conv, stage.convolutions[2 * i])
        if i < len(theirs.ops) - 1:
            unit.act_function.load_state_dict(stage.convolutions[2 * i + 1].state_dict())
        else:  # MONAI activates the last convolution before the sum as well; a slope of 1 undoes it
            nn.init.ones_(unit.act_function.weight)
    return without_monais_additions(theirs)


@pytest.mark.parametrize("dims", [2, 3])
def test_its_stages_compute_what_monais_do_with_the_same_weights(dims):
    torch.manual_seed(0)
    network = VNet(2, 3, dims=dims, width=4).double()
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.9)
    size = [8] * dims

    image = torch.randn(1, 2, *size, dtype=torch.float64)
    first = InputTransition(dims, 2, 4, "prelu")
    copy_convolution(first.conv_block.conv, network.left[0].convolutions[0])
    first.act_function.load_state_dict(network.left[0].activation.state_dict())
    without_monais_additions(first)
    torch.testing.assert_close(network.left[0](image), first(image))

    fine = torch.randn(1, 8, *size, dtype=torch.float64)
    down = DownTransition(dims, 8, 3, "prelu", bias=True)
    with_our_weights(down, network.down[1], network.left[2])
    torch.testing.assert_close(network.left[2](network.down[1](fine)), down(fine))

    coarse = torch.randn(1, 64, *[4] * dims, dtype=torch.float64)
    skip = torch.randn(1, 16, *size, dtype=torch.float64)
    up = with_our_weights(UpTransition(dims, 64, 32, 3, "prelu"), network.up[1], network.right[1])
    ours = network.right[1](torch.cat((network.up[1](coarse), skip), dim=1))
    torch.testing.assert_close(ours, up(coarse, skip))


def test_with_more_image_channels_than_divide_the_width_each_is_added_in_turn():
    network = VNet(3, 2, dims=2, width=4)
    stage = network.left[0]
    nn.init.zeros_(stage.convolutions[0].weight)
    x = torch.rand(1, 3, 16, 16)

    torch.testing.assert_close(stage(x), x[:, [0, 1, 2, 0]])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_it_builds_by_name_and_every_parameter_learns(dims, norm):
    torch.manual_seed(0)
    options = {"width": 2, "norm": norm}
    network = build("vnet:vnet", in_channels=4, out_channels=3, dims=dims, options=options)
    output = network(torch.randn(2, 4, *SHAPES[dims]))

    assert output.logits.shape == (2, 3, *SHAPES[dims])
    assert output.logits.isfinite().all()
    output.logits.square().sum().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.any()] == []


@pytest.mark.parametrize("dims", [2, 3])
def test_head_of_features_is_the_whole_network(dims):
    network = VNet(1, 2, dims=dims, width=2).eval()
    x = torch.randn(2, 1, *SHAPES[dims])
    features = network.forward_features(x)

    assert features.shape == (2, network.num_features, *SHAPES[dims])
    assert torch.equal(network.forward_head(features), network(x))


def test_sizes_that_do_not_fit_are_refused_with_the_divisor_and_a_remedy():
    with pytest.raises(ContractError, match=r"sizes 40 x 32; .* multiple of 16: pad to 48 x 32"):
        VNet(1, 2, dims=2, width=1)(torch.zeros(1, 1, 40, 32))


def test_a_width_below_one_is_refused():
    with pytest.raises(OptionError, match="width is 0"):
        VNet(1, 2, width=0)


def test_the_entry_module_imports_nothing_heavy():
    code = "import sys, medseg_vnet.plugin; print({'torch', 'numpy', 'monai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

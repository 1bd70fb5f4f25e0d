"""boundary and hausdorff-dt, against MONAI in voxels and by hand in mm."""

import pytest
import torch
from monai.losses import BoundaryLoss, HausdorffDTLoss
from scipy import ndimage

from medseg.errors import OptionError
from medseg.plugin import Output

every_shape = pytest.mark.parametrize(("channels", "dims"), [(1, 2), (1, 3), (3, 2), (3, 3)])


def monai(cls, channels, **options):
    if channels == 1:
        return cls(sigmoid=True, include_background=True, **options)
    return cls(softmax=True, to_onehot_y=True, include_background=False, **options)


@every_shape
def test_boundary_agrees_with_monai(channels, dims, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    expected = monai(BoundaryLoss, channels)(logits, target[:, None].float())
    ours = make_loss("boundary", boundary_weight=1.0, dice_weight=0.0)(Output(logits=logits), target)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


@every_shape
@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_hausdorff_agrees_with_monai(channels, dims, exponent, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    expected = monai(HausdorffDTLoss, channels, alpha=exponent)(logits, target[:, None].float())
    ours = make_loss("hausdorff-dt", exponent=exponent, dice_weight=0.0)(Output(logits=logits), target)
    torch.testing.assert_close(ours, expected, atol=0, rtol=1e-6)


@pytest.mark.parametrize("name", ["boundary", "hausdorff-dt"])
def test_by_default_dice_is_added_at_weight_1(name, make_loss, example):
    logits, target = example(channels=3, dims=2)
    output = Output(logits=logits)
    alone = make_loss(name, dice_weight=0.0)(output, target)
    expected = alone + make_loss("dice")(output, target)
    torch.testing.assert_close(make_loss(name)(output, target), expected)


def test_boundary_measures_mm(make_loss, example):
    logits, target = example(channels=1, dims=3)
    spacing = (0.7, 0.7, 2.5)
    loss = make_loss("boundary", boundary_weight=1.0, dice_weight=0.0, spacing_mm=spacing)
    ours = loss(Output(logits=logits[:1]), target[:1])
    truth = target[0].numpy() > 0
    outside = ndimage.distance_transform_edt(~truth, sampling=spacing)
    inside = ndimage.distance_transform_edt(truth, sampling=spacing)
    phi = outside - truth * (inside - 0.7)
    expected = (logits[0, 0].sigmoid() * torch.from_numpy(phi)).mean()
    torch.testing.assert_close(ours, expected.float())


@pytest.mark.parametrize(("name", "power"), [("boundary", 1), ("hausdorff-dt", 2)])
def test_twice_the_spacing_gives_the_power_of_two_of_the_unit(name, power, make_loss, example):
    logits, target = example(channels=1, dims=2)
    at = [
        make_loss(name, dice_weight=0.0, spacing_mm=(size, 2 * size))(Output(logits=logits), target)
        for size in (1.0, 2.0)
    ]
    torch.testing.assert_close(at[1], at[0] * 2**power)


@pytest.mark.parametrize("name", ["boundary", "hausdorff-dt"])
def test_a_false_positive_costs_more_the_further_away_it_is(name, make_loss):
    target = torch.zeros((1, 16, 16), dtype=torch.int64)
    target[:, 2:6, 2:6] = 1
    loss = make_loss(name, dice_weight=0.0)

    def with_false_positive_at(i):
        logits = 20.0 * (2 * target[:, None].float() - 1)
        logits[0, 0, i, i] = 20
        return loss(Output(logits=logits), target)

    assert with_false_positive_at(7) < with_false_positive_at(10) < with_false_positive_at(15)


@pytest.mark.parametrize("name", ["boundary", "hausdorff-dt"])
@pytest.mark.parametrize("label", [0, 1])
def test_regions_with_no_edge_cost_nothing(name, label, make_loss):
    target = torch.full((1, 8, 8), label)
    loss = make_loss(name, dice_weight=0.0)
    assert loss(Output(logits=torch.full((1, 1, 8, 8), 0.3)), target) == 0


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, float("inf"))])
def test_a_spacing_that_does_not_fit_is_refused(spacing, make_loss, example):
    logits, target = example(channels=1, dims=2)
    with pytest.raises(OptionError, match="each of the 2 axes"):
        make_loss("boundary", spacing_mm=spacing)(Output(logits=logits), target)

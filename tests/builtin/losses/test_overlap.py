"""The overlap losses: their identities, and MONAI's values where the definitions coincide."""

import pytest
import torch
from monai.losses import DiceLoss, TverskyLoss

from medseg.plugin import Output

every_shape = pytest.mark.parametrize(("channels", "dims"), [(1, 2), (1, 3), (3, 2), (3, 3)])
either_background = pytest.mark.parametrize("include_background", [False, True])
pooled_or_not = pytest.mark.parametrize("batch", [False, True])


def monai(cls, channels, *, include_background, **options):
    """MONAI's loss set up for logits; with one channel it has neither one-hot nor background."""
    if channels == 1:
        return cls(sigmoid=True, **options)
    return cls(softmax=True, to_onehot_y=True, include_background=include_background, **options)


@every_shape
@either_background
@pooled_or_not
@pytest.mark.parametrize("squared", [False, True])
def test_dice_agrees_with_monai(channels, dims, include_background, batch, squared, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    ours = make_loss("dice", squared=squared, batch=batch, include_background=include_background, smooth=1e-3)
    theirs = monai(
        DiceLoss,
        channels,
        include_background=include_background,
        squared_pred=squared,
        batch=batch,
        smooth_nr=1e-3,
        smooth_dr=1e-3,
    )
    expected = theirs(logits, target[:, None].float())
    torch.testing.assert_close(ours(Output(logits=logits), target), expected, atol=1e-6, rtol=0)


@every_shape
@either_background
@pooled_or_not
def test_tversky_agrees_with_monai(channels, dims, include_background, batch, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    ours = make_loss("tversky", batch=batch, include_background=include_background, smooth=1e-3)
    theirs = monai(
        TverskyLoss,
        channels,
        include_background=include_background,
        alpha=0.3,
        beta=0.7,
        batch=batch,
        smooth_nr=1e-3,
        smooth_dr=1e-3,
    )
    expected = theirs(logits, target[:, None].float())
    torch.testing.assert_close(ours(Output(logits=logits), target), expected, atol=1e-6, rtol=0)


@every_shape
def test_iou_agrees_with_monai_whose_smoothing_is_halved(channels, dims, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    theirs = monai(DiceLoss, channels, include_background=False, jaccard=True, smooth_nr=2e-3, smooth_dr=2e-3)
    ours = make_loss("iou", smooth=1e-3)(Output(logits=logits), target)
    torch.testing.assert_close(ours, theirs(logits, target[:, None].float()), atol=1e-6, rtol=0)


@every_shape
@pooled_or_not
def test_tversky_of_one_half_is_dice(channels, dims, batch, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    output = Output(logits=logits)
    half = make_loss("tversky", alpha=0.5, beta=0.5, smooth=1e-3, batch=batch)(output, target)
    # 2 TP + s over 2 TP + FP + FN + s, divided by 2: Dice's s is twice Tversky's.
    torch.testing.assert_close(half, make_loss("dice", smooth=2e-3, batch=batch)(output, target))


@every_shape
@pooled_or_not
def test_tversky_of_one_is_iou(channels, dims, batch, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    output = Output(logits=logits)
    one = make_loss("tversky", alpha=1.0, beta=1.0, batch=batch)(output, target)
    torch.testing.assert_close(one, make_loss("iou", batch=batch)(output, target))


def test_focal_tversky_is_a_root_of_tversky(make_loss, example):
    output, target = Output(logits=(pair := example(channels=1, dims=2))[0][:1]), pair[1][:1]
    tversky = make_loss("tversky")(output, target)
    torch.testing.assert_close(make_loss("focal-tversky", gamma=2.0)(output, target), tversky**0.5)
    torch.testing.assert_close(make_loss("focal-tversky", gamma=1.0)(output, target), tversky)


def test_beta_is_the_cost_of_a_miss_and_alpha_of_a_false_alarm(make_loss):
    target = torch.zeros((1, 8, 8), dtype=torch.int64)
    target[:, 2:6, 2:6] = 1
    missed, extra = target.clone(), target.clone()
    missed[:, 2, 2:6] = 0
    extra[:, 1, 2:6] = 1
    loss = make_loss("tversky", alpha=0.3, beta=0.7, smooth=1e-6)
    of_miss, of_alarm = (loss(Output(logits=80.0 * m[:, None] - 40), target) for m in (missed, extra))
    # 12 of 16 voxels hit: 1 - 12 / (12 + 0.7 * 4); 16 hit and 4 too many: 1 - 16 / (16 + 0.3 * 4).
    torch.testing.assert_close(of_miss, torch.tensor(1 - 12 / 14.8))
    torch.testing.assert_close(of_alarm, torch.tensor(1 - 16 / 17.2))


def test_a_label_that_is_nowhere_costs_nothing(make_loss):
    target = torch.zeros((1, 8, 8), dtype=torch.int64)
    logits = torch.full((1, 1, 8, 8), -40.0)
    for name in ("dice", "iou", "tversky"):
        loss = make_loss(name)(Output(logits=logits), target)
        torch.testing.assert_close(loss, torch.tensor(0.0), atol=1e-6, rtol=0)

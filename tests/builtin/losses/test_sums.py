"""dice-ce and dice-focal: what they add up."""

import pytest
import torch
from monai.losses import DiceCELoss

from medseg.builtin.losses.sums import WeightedSum
from medseg.plugin import Output


@pytest.mark.parametrize("dims", [2, 3])
def test_dice_ce_agrees_with_monai(dims, make_loss, example):
    logits, target = example(channels=3, dims=dims)
    theirs = DiceCELoss(
        softmax=True, to_onehot_y=True, include_background=True, lambda_dice=0.7, lambda_ce=1.3
    )
    ours = make_loss("dice-ce", dice_weight=0.7, ce_weight=1.3, include_background=True)
    expected = theirs(logits, target[:, None])
    torch.testing.assert_close(ours(Output(logits=logits), target), expected, atol=1e-6, rtol=0)


def test_dice_ce_is_dice_plus_ce(make_loss, example):
    logits, target = example(channels=1, dims=3)
    output = Output(logits=logits)
    expected = make_loss("dice")(output, target) + make_loss("ce")(output, target)
    torch.testing.assert_close(make_loss("dice-ce")(output, target), expected)


def test_a_term_of_weight_0_is_not_computed():
    def fails(output, target):
        raise AssertionError("computed")

    total = WeightedSum((2.0, lambda output, target: target.sum()), (0.0, fails))
    assert total(Output(logits=torch.zeros(1)), torch.ones(3)) == 6


@pytest.mark.parametrize("include_background", [False, True])
def test_dice_focal_is_its_published_formula(include_background, make_loss, example):
    logits, target = example(channels=3, dims=2)
    y = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).double()
    p = logits.double().softmax(dim=1)
    tp, fp, fn = ((a * b).sum(dim=(2, 3)) for a, b in ((y, p), (1 - y, p), (y, 1 - p)))
    index = tp / (tp + 0.4 * fp + 0.6 * fn)
    scored = index if include_background else index[:, 1:]
    focal = (y * (1 - p) ** 2 * p.log()).sum() / target.numel()
    expected = scored.shape[1] - scored.sum(dim=1).mean() - 0.8 * focal
    loss = make_loss(
        "dice-focal", alpha=0.4, beta=0.6, focal_weight=0.8, include_background=include_background
    )
    ours = loss(Output(logits=logits), target)
    torch.testing.assert_close(ours, expected.float(), atol=1e-5, rtol=0)


def test_both_terms_of_dice_focal_are_positive_and_fall_as_the_prediction_improves(make_loss, example):
    _, target = example(channels=1, dims=2)
    truth = (2.0 * target - 1)[:, None]

    def terms(confidence):
        output = Output(logits=confidence * truth)
        overlap = make_loss("dice-focal", focal_weight=0.0)(output, target)
        return overlap, make_loss("dice-focal", focal_weight=1.0)(output, target) - overlap

    overlaps, focals = zip(*(terms(confidence) for confidence in (-2.0, 0.0, 2.0)), strict=True)
    assert 1 > overlaps[0] > overlaps[1] > overlaps[2] > 0
    assert focals[0] > focals[1] > focals[2] > 0

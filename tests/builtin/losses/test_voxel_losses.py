"""Cross entropy and focal loss, against torch and MONAI."""

import pytest
import torch
import torch.nn.functional as F
from monai.losses import FocalLoss

from medseg.plugin import Output

every_dims = pytest.mark.parametrize("dims", [2, 3])


@every_dims
def test_ce_is_torchs(dims, make_loss, example):
    logits, target = example(channels=3, dims=dims)
    target[:, 0] = -1
    ours = make_loss("ce", class_weights=(1, 2, 5))(Output(logits=logits), target)
    expected = F.cross_entropy(logits, target, weight=torch.tensor([1.0, 2.0, 5.0]), ignore_index=-1)
    torch.testing.assert_close(ours, expected)


@every_dims
def test_ce_of_one_channel_is_torchs_binary_cross_entropy(dims, make_loss, example):
    logits, target = example(channels=1, dims=dims)
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], target.float())
    torch.testing.assert_close(make_loss("ce")(Output(logits=logits), target), expected)


@every_dims
def test_weighted_ce_weighs_positives_by_their_rarity(dims, make_loss, example):
    logits, target = example(channels=1, dims=dims)
    positive = target.sum()
    negative = target.numel() - positive
    sum_of_terms = F.binary_cross_entropy_with_logits(
        logits[:, 0], target.float(), pos_weight=negative / positive, reduction="sum"
    )
    # n_pos positives at n_neg / n_pos each and n_neg negatives at 1 weigh 2 n_neg.
    expected = sum_of_terms / (2 * negative)
    torch.testing.assert_close(make_loss("weighted-ce")(Output(logits=logits), target), expected)


def test_weighted_ce_is_the_mean_over_present_labels_of_their_cross_entropy(make_loss, example):
    logits, target = example(channels=4, dims=3)
    target[target == 3] = 0  # absent
    surprise = F.cross_entropy(logits, target, reduction="none")
    expected = torch.stack([surprise[target == label].mean() for label in (0, 1, 2)]).mean()
    torch.testing.assert_close(make_loss("weighted-ce")(Output(logits=logits), target), expected)


def test_raising_the_weight_lowers_false_negatives(make_loss):
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand((1, 64, 64), generator=generator) < 0.1).long()
    intensity = 1.5 * target + torch.randn((1, 64, 64), generator=generator)

    def misses(weight):
        loss = make_loss("weighted-ce", class_weights=(1.0, weight))
        line = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.LBFGS([line], max_iter=50)

        def closure():
            optimizer.zero_grad()
            value = loss(Output(logits=(line[0] * intensity + line[1])[:, None]), target)
            value.backward()
            return value

        optimizer.step(closure)
        predicted = line[0] * intensity + line[1] > 0
        return int(((target == 1) & ~predicted).sum())

    assert misses(1) > misses(3) > misses(9)


def test_a_false_positive_is_never_rewarded(make_loss):
    target = torch.zeros((1, 4, 4), dtype=torch.int64)
    confident = [Output(logits=torch.full((1, 1, 4, 4), z)) for z in (-3.0, 0.0, 3.0)]
    low, middle, high = (
        make_loss("weighted-ce", class_weights=(1, 5))(output, target) for output in confident
    )
    assert 0 < low < middle < high


@every_dims
@pytest.mark.parametrize("channels", [1, 3])
def test_focal_of_gamma_0_and_alpha_one_half_is_half_of_cross_entropy(channels, dims, make_loss, example):
    logits, target = example(channels=channels, dims=dims)
    output = Output(logits=logits)
    focal = make_loss("focal", gamma=0.0, alpha=0.5)(output, target)
    torch.testing.assert_close(focal, make_loss("ce")(output, target) / 2)


@every_dims
@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (3.0, 0.9), (1.0, 0.5)])
def test_focal_of_one_channel_agrees_with_monai(dims, gamma, alpha, make_loss, example):
    logits, target = example(channels=1, dims=dims)
    expected = FocalLoss(gamma=gamma, alpha=alpha)(logits, target[:, None].float())
    ours = make_loss("focal", gamma=gamma, alpha=alpha)(Output(logits=logits), target)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


@every_dims
def test_focal_of_three_channels_agrees_with_monai_summed_over_channels(dims, make_loss, example):
    logits, target = example(channels=3, dims=dims)
    theirs = FocalLoss(gamma=2.0, alpha=0.25, use_softmax=True, to_onehot_y=True, reduction="none")
    # MONAI's own mean divides by the number of channels as well.
    expected = theirs(logits, target[:, None]).sum(dim=1).mean()
    ours = make_loss("focal")(Output(logits=logits), target)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


def test_focal_has_a_finite_gradient_where_the_prediction_is_certain(make_loss):
    logits = torch.tensor([200.0, -200.0, 20.0, 0.0]).view(1, 1, 2, 2).requires_grad_()
    target = torch.ones((1, 2, 2), dtype=torch.int64)
    for gamma in (0.0, 0.5, 1.0, 2.0):
        loss = make_loss("focal", gamma=gamma)(Output(logits=logits), target)
        assert torch.autograd.grad(loss, logits)[0].isfinite().all()

"""The active-contour loss against lengths and areas that are known."""

import math

import pytest
import torch
from medseg_contours.losses import ActiveContourLoss

from medseg.errors import ContractError, OptionError
from medseg.plugin import Output


def soft_ball(shape, spacing, radius, width=3.0):
    axes = [
        (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)
    ]
    distance = radius - sum(x**2 for x in torch.meshgrid(*axes, indexing="ij")).sqrt()
    return (2 * distance / width)[None, None]  # a logit


@pytest.mark.parametrize(
    ("shape", "spacing", "radius"),
    [
        ((80, 80), (1.0, 1.0), 25.0),
        ((40, 80), (2.0, 1.0), 25.0),
        ((48, 48, 48), (1.0, 1.0, 1.0), 15.0),
        ((24, 48, 48), (2.0, 1.0, 1.0), 15.0),
    ],
)
def test_without_a_region_term_it_is_the_length_or_area_of_the_border(shape, spacing, radius):
    loss = ActiveContourLoss(region_weight=0.0, spacing_mm=spacing)
    logits = soft_ball(shape, spacing, radius)
    value = loss(Output(logits=logits), torch.zeros(1, *shape, dtype=torch.long)).item()
    exact = 2 * math.pi * radius if len(shape) == 2 else 4 * math.pi * radius**2

    assert value * math.prod(shape) * math.prod(spacing) == pytest.approx(exact, rel=0.03)


def test_the_region_term_counts_voxels_on_the_wrong_side():
    target = torch.zeros(1, 10, 10, dtype=torch.long)
    target[:, :5] = 1
    sure = 50 * (2 * (target == 0).float() - 1)[:, None]  # wrong everywhere
    both, inside = (
        ActiveContourLoss(region_weight=w, inside_weight=m)(Output(logits=sure), target).item()
        for w, m in ((2.0, 1.0), (2.0, 0.0))
    )

    assert both - inside == pytest.approx(2 * 50 / 100)


def test_two_channels_say_what_one_says():
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 8, 8, 8)
    target = torch.randint(0, 2, (2, 8, 8, 8))
    pair = torch.cat((torch.zeros_like(logits), logits), dim=1)

    torch.testing.assert_close(
        ActiveContourLoss()(Output(logits=logits), target), ActiveContourLoss()(Output(logits=pair), target)
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="2 numbers for 3 axes"):
        ActiveContourLoss(spacing_mm=(1.0, 2.0))(
            Output(logits=torch.zeros(1, 2, 4, 4, 4)), torch.zeros(1, 4, 4, 4, dtype=torch.long)
        )
    with pytest.raises(ContractError, match="label 2, but the maps stand for labels 1 to 1"):
        ActiveContourLoss()(Output(logits=torch.zeros(1, 2, 4, 4)), torch.full((1, 4, 4), 2))
    with pytest.raises(OptionError, match="floor"):
        ActiveContourLoss(floor=0.0)

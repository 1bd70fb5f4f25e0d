"""cldice, against MONAI, and what it sees that Dice does not."""

import pytest
import torch
from monai.losses import SoftclDiceLoss
from monai.losses.cldice import soft_skel

from medseg.builtin.losses.centreline import soft_skeleton
from medseg.plugin import Output


@pytest.mark.parametrize("shape", [(2, 3, 12, 11), (1, 2, 9, 8, 7)])
@pytest.mark.parametrize("iterations", [0, 3])
def test_the_skeleton_is_monais(shape, iterations):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(soft_skeleton(image, iterations=iterations), soft_skel(image, iterations))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("iterations", [1, 3])
def test_cldice_of_one_channel_agrees_with_monai(dims, iterations, make_loss, example):
    logits, target = example(channels=1, dims=dims)
    # MONAI adds a further number to the harmonic mean's denominator, here as good as 0. With several
    # channels it pools them into one ratio, where medseg takes a mean over labels.
    theirs = SoftclDiceLoss(iter_=iterations, smooth=1e-12, sigmoid=True)
    expected = theirs(logits, target[:, None].float())
    loss = make_loss("cldice", cldice_weight=1.0, dice_weight=0.0, iterations=iterations)
    torch.testing.assert_close(loss(Output(logits=logits), target), expected, atol=1e-6, rtol=0)


def test_a_cut_tube_costs_more_than_the_same_voxels_off_its_rim(make_loss):
    target = torch.zeros((1, 15, 40), dtype=torch.int64)
    target[:, 5:10, 4:36] = 1
    cut, thinned = target.clone(), target.clone()
    cut[:, 5:10, 18:22] = 0  # 20 voxels right across
    thinned[:, 5, 8:28] = 0  # 20 voxels of the rim
    assert cut.sum() == thinned.sum()
    loss = make_loss("cldice", cldice_weight=1.0, dice_weight=0.0)
    of_cut, of_thinned = (loss(Output(logits=80.0 * m[:, None] - 40), target) for m in (cut, thinned))
    assert of_cut > 2 * of_thinned

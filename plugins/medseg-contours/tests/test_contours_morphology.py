"""Gur's layer and loss."""

import numpy as np
import pytest
import torch
from medseg_contours.morphology import GurLoss, smooth_morphologically
from skimage.segmentation.morphsnakes import inf_sup, sup_inf

from medseg.errors import OptionError
from medseg.plugin import Output


@pytest.mark.parametrize("shape", [(17, 14), (9, 8, 10)])
def test_on_masks_it_is_scikit_images_pair_of_operators(shape):
    rng = np.random.default_rng(0)
    for density in (0.3, 0.5, 0.8):
        mask = (rng.random(shape) < density).astype(np.int8)
        ours = smooth_morphologically(torch.from_numpy(mask.astype(np.float32))[None, None])[0, 0]
        np.testing.assert_array_equal(ours.numpy(), inf_sup(sup_inf(mask)))


def test_a_soft_map_is_smoothed_level_by_level():
    """Max and min commute with a threshold: smoothing first or cutting first is the same."""
    torch.manual_seed(0)
    u = torch.rand(1, 1, 12, 13)
    soft = smooth_morphologically(u, times=2) > 0.5
    assert torch.equal(soft, smooth_morphologically((u > 0.5).float(), times=2) > 0.5)


def judged(u, image, **options):
    return GurLoss(**options)(Output(logits=u, extras={"prob": u, "image": image}), torch.zeros(1)).item()


def test_without_any_truth_the_bright_vessel_costs_least():
    image = torch.zeros(1, 1, 20, 20)
    image[..., 8:12, :] = 2.0
    vessel = 0.98 * (image > 1).float() + 0.01
    moved = torch.roll(vessel, 4, dims=2)
    uniform = torch.full_like(vessel, 0.5)

    assert judged(vessel, image) < min(
        judged(moved, image), judged(uniform, image), judged(1 - vessel, image)
    )


def test_negative_weights_are_refused():
    with pytest.raises(OptionError, match="weights >= 0"):
        GurLoss(order_weight=-1.0)

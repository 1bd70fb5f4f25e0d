"""U-Net's border weights, against one distance transform an object on the whole image."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg.builtin.losses.border import border_weights
from medseg.errors import ContractError, OptionError
from medseg.plugin import Output


def two_squares(*, gap):
    instances = np.zeros((20, 40), np.int32)
    instances[5:15, 5:15] = 1
    instances[5:15, 15 + gap : 25 + gap] = 2
    return instances


@pytest.mark.parametrize(("shape", "spacing"), [((40, 50), (1.0, 0.5)), ((20, 24, 12), (1.0, 0.8, 3.0))])
def test_weights_are_those_of_full_distance_maps(shape, spacing):
    generator = np.random.default_rng(0)
    seeds = generator.random(shape) < 0.004
    instances = ndimage.label(ndimage.binary_dilation(seeds, iterations=2))[0] * 3  # numbers with gaps
    numbers = np.unique(instances)[1:]
    assert len(numbers) > 3
    distances = [ndimage.distance_transform_edt(instances != n, sampling=spacing) for n in numbers]
    d1, d2 = np.sort(distances, axis=0)[:2]
    expected = 10 * np.exp(-((d1 + d2) ** 2) / (2 * 0.9**2))
    weights = border_weights(instances, spacing, sigma_mm=0.9)
    np.testing.assert_allclose(weights, expected, atol=1e-5, rtol=0)


def test_the_narrower_the_gap_the_larger_the_weight_in_it():
    in_gap = [border_weights(two_squares(gap=gap))[10, 15 + gap // 2] for gap in (1, 3, 5, 9)]
    assert in_gap == sorted(in_gap, reverse=True)
    # A gap of one voxel: its centre is one voxel from either object.
    assert in_gap[0] == pytest.approx(10 * np.exp(-(2**2) / 50))


def test_the_gap_is_measured_in_mm():
    fine = border_weights(two_squares(gap=4), (0.5, 0.5))[10, 17]
    coarse = border_weights(two_squares(gap=4), (2.0, 2.0))[10, 17]
    # Columns 15-18 are the gap; column 17 is 3 voxels from one object and 2 from the other.
    assert fine == pytest.approx(10 * np.exp(-(2.5**2) / 50))
    assert coarse == pytest.approx(10 * np.exp(-(10.0**2) / 50))


@pytest.mark.parametrize("objects", [0, 1])
def test_fewer_than_two_objects_have_no_border_between_them(objects):
    instances = (two_squares(gap=2) == 1).astype(np.uint8) * objects
    assert not border_weights(instances).any()


def test_an_image_full_of_objects_has_weight_on_both_rims():
    halves = np.ones((6, 12), np.int32)
    halves[:, 6:] = 2
    weights = border_weights(halves)
    np.testing.assert_allclose(weights[:, [5, 6]], 10 * np.exp(-1 / 50), rtol=1e-6)


def test_instance_maps_that_are_not_integers_are_refused():
    with pytest.raises(ContractError, match="float64"):
        border_weights(np.zeros((4, 4)))
    with pytest.raises(ContractError, match="minimum -1"):
        border_weights(np.full((4, 4), -1))
    with pytest.raises(OptionError, match="each of the 2 axes"):
        border_weights(two_squares(gap=1), (1.0, 1.0, 1.0))
    with pytest.raises(OptionError, match="sigma_mm"):
        border_weights(two_squares(gap=1), sigma_mm=0.0)


def test_an_error_in_the_gap_costs_more_than_one_far_from_it(make_loss):
    instances = two_squares(gap=2)
    target = torch.from_numpy(instances > 0).long()[None]
    extras = {"border-weight": torch.from_numpy(border_weights(instances))[None]}
    loss = make_loss("unet-border")

    def with_error_at(i, j):
        logits = 6.0 * (2 * target[:, None].float() - 1)
        logits[0, 0, i, j] *= -1
        return loss(Output(logits=logits, extras=extras), target)

    assert with_error_at(10, 15) > 2 * with_error_at(1, 38)


def test_without_border_weights_it_is_weighted_ce(make_loss, example):
    logits, target = example(channels=3, dims=2)
    output = Output(logits=logits, extras={"border-weight": torch.zeros(target.shape)})
    torch.testing.assert_close(
        make_loss("unet-border")(output, target), make_loss("weighted-ce")(output, target)
    )


def test_missing_border_weights_are_refused_with_where_to_get_them(make_loss, example):
    logits, target = example(channels=1, dims=2)
    with pytest.raises(ContractError, match="border_weights"):
        make_loss("unet-border")(Output(logits=logits), target)
    wrong = Output(logits=logits, extras={"border-weight": torch.zeros(2, 1, 8, 8)})
    with pytest.raises(ContractError, match=r"shape \(2, 8, 8\); got shape \(2, 1, 8, 8\)"):
        make_loss("unet-border")(wrong, target)

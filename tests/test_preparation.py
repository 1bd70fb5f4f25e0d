"""What a contract says of channels, crops and axes, on volumes where each voxel is known."""

import numpy as np
import pytest

from medseg.builtin import steps
from medseg.errors import ContractError
from medseg.geometry import reorient
from medseg.options import check_options
from medseg.plugin import Channel, Input, Windows
from medseg.preparation import Preparation
from medseg.volume import Volume


def step(use):
    name, options = use
    factory = getattr(steps, name)
    return factory(**check_options(factory, options, owner=name))


def preparation(*channels, **changes):
    channels = channels or (Channel(name="T1w", modality="MR", unit="arbitrary"),)
    fixed = {"spacing_mm": None, "orientation": "stored", "patch": Windows(size=(8, 8, 8))}
    return Preparation(Input(channels=channels, **(fixed | changes)), step)


def ball(shape=(9, 9, 9), value=5.0, hole=True):
    array = np.zeros(shape, np.float32)
    array[2:7, 3:6, 1:8] = value
    if hole:
        array[4, 4, 4] = 0
    return Volume(array, np.diag([1.0, 2.0, 3.0, 1.0]))


def channel(*uses, within="all"):
    return Channel(name="c", modality="MR", unit="arbitrary", steps=uses, within=within)


def test_the_box_around_what_is_not_zero_is_kept_and_put_back():
    (cropped,), back = preparation(crop="nonzero").crop([ball()])
    assert cropped.shape == (5, 3, 7)
    np.testing.assert_array_equal(back(cropped).array, ball().array)


def test_the_box_is_that_of_all_channels():
    other = np.zeros((9, 9, 9), np.float32)
    other[0, 0, 0] = 1
    cropped, _ = preparation(channel(), channel(), crop="nonzero").crop([ball(), ball().with_array(other)])
    assert [c.shape for c in cropped] == [(7, 6, 8)] * 2


def test_an_empty_part_is_refused():
    with pytest.raises(ContractError, match="0 everywhere"):
        preparation(crop="nonzero").crop([ball(value=0.0)])


def test_without_a_crop_nothing_changes():
    (same,), back = preparation().crop([ball()])
    assert same.array.shape == (9, 9, 9)
    assert back(same) is same


def test_steps_of_a_channel_are_its_own_and_come_before_those_of_all():
    first = channel(("scale", {"factor": 2.0}))
    image, _ = preparation(first, channel(), steps=(("scale", {"offset": 1.0}),)).image([ball(), ball()])
    assert image[:, 3, 4, 4].tolist() == [11.0, 6.0]
    assert image[:, 0, 0, 0].tolist() == [1.0, 1.0]


def test_within_what_is_not_zero_enclosed_zeros_count_and_the_outside_stays():
    values = ball()
    image, _ = preparation(channel(("zscore", {}), within="nonzero")).image([values])
    inside = np.zeros((9, 9, 9), bool)
    inside[2:7, 3:6, 1:8] = True
    sample = values.array[inside]
    expected = np.where(inside, (values.array - sample.mean()) / sample.std(), 0)
    np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-5)


def test_stored_axes_stay_as_they_are():
    turned = reorient(ball(), "ASL")[0]
    same, undo = reorient(turned, "stored")
    assert same is turned
    assert undo(same).grid.matches(turned.grid)


@pytest.mark.parametrize("shape", [(6, 6, 6), (6, 5, 6)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("uses", [(), (("rescale", {}),), (("rescale", {}), ("rescale", {}))])
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0)])
def test_axes_stay_where_they_are_however_the_voxels_lie_in_memory(shape, order, uses, spacing):
    """A transposed view of such a shape looks like its owner."""
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    volume = Volume(np.array(values, order=order), np.eye(4))
    image, _ = preparation(steps=uses, spacing_mm=spacing).image([volume])
    np.testing.assert_array_equal(np.argsort(image.numpy()[0], axis=None), np.argsort(values, axis=None))

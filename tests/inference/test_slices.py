"""A 2-D network on a volume, slice by slice, alone and with its neighbours."""

import pytest
import torch

from medseg.errors import Cancelled
from medseg.inference.slices import slide_slices as slabs_of_slices
from medseg.inference.slices import with_neighbours
from medseg.plugin import Slices
from medseg.progress import CancelToken

IMAGE = torch.arange(2 * 5 * 6 * 7, dtype=torch.float32).reshape(2, 5, 6, 7)


def slide_slices(network, image, slices, **settings):
    """All slices, stacked back to a volume."""
    slabs = list(slabs_of_slices(network, image, slices, **settings))
    assert [slab.start for slab in slabs] == list(range(image.shape[slices.axis + 1]))
    return torch.cat([slab.logits for slab in slabs], dim=slices.axis + 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_identity_network_gives_the_volume_back_along_any_axis(axis):
    size = tuple(n for a, n in enumerate((5, 6, 7)) if a != axis)

    found = slide_slices(lambda x: x, IMAGE, Slices(axis=axis, size=size))

    assert torch.allclose(found, IMAGE)


def test_windows_inside_a_slice_may_be_smaller_or_larger_than_it():
    for size in ((4, 4), (16, 16)):
        found = slide_slices(lambda x: x, IMAGE, Slices(axis=2, size=size, overlap=0.5))
        assert torch.allclose(found, IMAGE, atol=1e-4)


def test_neighbours_are_channels_from_below_to_above_for_each_channel_in_turn():
    seen = with_neighbours(IMAGE, 3, axis=1, neighbours=1)

    assert torch.equal(seen, torch.stack([IMAGE[c, :, n] for c in (0, 1) for n in (2, 3, 4)]))


def test_beyond_the_first_and_the_last_slice_the_edge_is_repeated():
    first, last = (with_neighbours(IMAGE, n, axis=0, neighbours=2) for n in (0, 4))

    assert torch.equal(first[:5], torch.stack([IMAGE[0, n] for n in (0, 0, 0, 1, 2)]))
    assert torch.equal(last[5:], torch.stack([IMAGE[1, n] for n in (2, 3, 4, 4, 4)]))


def test_a_network_that_takes_the_upper_neighbour_shifts_the_volume():
    found = slide_slices(lambda x: x[:, 2:3], IMAGE[:1], Slices(axis=2, size=(5, 6), neighbours=1))

    assert torch.allclose(found[..., :-1], IMAGE[:1, :, :, 1:])
    assert torch.allclose(found[..., -1], IMAGE[:1, :, :, -1])


def test_progress_counts_slices_and_a_cancelled_token_stops():
    counts, token = [], CancelToken()

    def count(done, total):
        counts.append((done, total))
        if done == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        slide_slices(lambda x: x, IMAGE, Slices(axis=0, size=(6, 7)), on_window=count, cancel=token)
    assert counts == [(1, 5), (2, 5)]


def test_cancelling_stops_before_the_next_window_of_a_slice():
    token, seen = CancelToken(), []

    def network(x):
        seen.append(x)
        token.cancel()
        return x

    slices = Slices(axis=0, size=(2, 2))
    with pytest.raises(Cancelled):
        slide_slices(network, IMAGE, slices, cancel=token)
    assert len(seen) == 1

"""Arrays on the disk: as arrays in memory, and out of memory when they are let go."""

import itertools
import sys

import numpy as np
import pytest
import torch

from medseg import storage
from medseg.errors import ResourceError
from medseg.inference.live import resident_bytes
from medseg.storage import contiguous, let_go, mapped_zeros


def test_a_mapped_array_is_zero_and_keeps_what_is_written():
    array = mapped_zeros((3, 4, 5), np.int16)
    assert (array.shape, array.dtype, array.any()) == ((3, 4, 5), np.int16, False)
    array[1] = 7
    let_go(array.transpose(2, 1, 0)[::-1])
    assert (array[1] == 7).all()
    assert array.sum() == 7 * 20


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of resident memory on Linux alone")
def test_an_array_that_is_let_go_is_not_in_memory():
    array = mapped_zeros((50_000_000,), np.uint8)
    before = resident_bytes()
    array[:] = 1
    assert resident_bytes() > before + 40_000_000
    let_go(torch.from_numpy(array)[7:].numpy())  # a view beyond which numpy does not see the map
    assert resident_bytes() < before + 10_000_000
    assert array[-1] == 1
    kept = len(storage._maps)
    del array
    assert len(storage._maps) == kept - 1


def test_letting_an_array_in_memory_go_does_nothing():
    array = np.arange(5)
    let_go(array[1:])
    assert array.tolist() == [0, 1, 2, 3, 4]


def test_a_disk_without_room_is_an_error_that_says_where():
    with pytest.raises(ResourceError, match=r"temporary file of \d+\.\d GB in .* Set TMPDIR"):
        mapped_zeros((2**61,), np.uint8)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("steps", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("kind", [None, "<f4"])
def test_values_stay_where_they_are_however_they_lie_in_memory(axes, steps, kind):
    source = np.arange(37 * 20 * 33, dtype=np.int32).reshape(37, 20, 33)
    array = source[tuple(slice(None, None, step) for step in steps)].transpose(axes)
    copied = contiguous(array, kind)
    assert copied.flags.c_contiguous
    assert copied.dtype == (kind or array.dtype)
    np.testing.assert_array_equal(copied, array)


@pytest.mark.parametrize("shape", [(), (0,), (5,), (1, 1), (1, 7, 1), (0, 3, 2), (3, 17, 2, 5)])
def test_arrays_of_any_number_of_axes_are_copied(shape):
    array = np.random.default_rng(0).random(shape[::-1]).T
    np.testing.assert_array_equal(contiguous(array), array)


def test_what_is_contiguous_is_not_copied():
    array = np.zeros((3, 4))
    assert contiguous(array) is array
    assert contiguous(array, np.float64) is array

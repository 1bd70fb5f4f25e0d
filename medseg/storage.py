"""Where arrays are held: in memory, or in mapped files for what is larger than memory may be.

A mapped file has no name once it is open, so that it is gone with the last reference, whatever happens.
It is made in the folder for temporary files, which the variable TMPDIR names.
"""

import itertools
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medseg.errors import ResourceError

BAND_BYTES = 32_000_000  # of an array that is worked on at once
_TILE = 16  # values along both sides of a square that is copied at once
_SMALL = 16_000_000  # bytes: such an array stays in memory anyway
# By the address of what is mapped: numpy and torch keep no way from a view to its map.
_maps: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
_spilling: ContextVar[bool] = ContextVar("spilling", default=False)


@contextmanager
def spilling(wanted: bool) -> Iterator[None]:  # noqa: FBT001  # a switch is all that it takes
    """While the block runs, ``empty`` and ``converted`` make large arrays in mapped files, if wanted."""
    token = _spilling.set(wanted)
    try:
        yield
    finally:
        _spilling.reset(token)


def empty(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """An array whose values are not set yet, in memory or in a mapped file."""
    kind = np.dtype(dtype)
    if _spilling.get() and int(np.prod(shape, dtype=np.int64)) * kind.itemsize > _SMALL:
        return mapped_zeros(shape, kind)
    return np.empty(tuple(shape), kind)


def converted(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """A copy in another type, with the axes in memory as they are, written a band at a time."""
    order = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
    result = empty([array.shape[axis] for axis in order], dtype).transpose(np.argsort(order))
    for band in bands(array):
        result[band] = array[band]
        let_go(result)
        let_go(array)
    return result


def contiguous(array: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """The values in an array whose last axis is the fastest in memory: the array itself, or a copy.

    Args:
        array: of any number of axes.
        dtype: of the result; the array's, if None.
    """
    kind = array.dtype if dtype is None else np.dtype(dtype)
    if array.flags.c_contiguous and array.dtype == kind:
        return array
    result = empty(array.shape, kind)
    copy_tiles(result, array)
    return result


def copy_tiles(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Copy into an array whose last axis is its fastest.

    numpy goes along that axis. Where it is the slowest of the source, as of voxels from a NIfTI file, each
    value lies in a line of the cache of its own, and where sides are powers of two, these lines have room
    for a few only: 256 x 256 x 256 bytes take it 0.3 s. In small tiles it is a tenth of that.
    """
    strides = np.abs(source.strides)
    if source.ndim < 2 or strides[-1] < strides.max():
        np.copyto(target, source, casting="unsafe")
        return
    fastest = int(np.argmin(strides))
    rows, columns = (range(0, source.shape[axis], _TILE) for axis in (fastest, -1))
    for row, column in itertools.product(rows, columns):
        tile = [slice(None)] * source.ndim
        tile[fastest], tile[-1] = slice(row, row + _TILE), slice(column, column + _TILE)
        np.copyto(target[tuple(tile)], source[tuple(tile)], casting="unsafe")


def bands(array: NDArray[Any], size: int = BAND_BYTES) -> Iterator[tuple[slice, ...]]:
    """Boxes of some bytes that cut an array along the axis on which parts are whole pieces of memory."""
    axis = int(np.argmax(np.abs(array.strides)))
    step = max(1, size * array.shape[axis] // max(1, array.nbytes))
    for start in range(0, array.shape[axis], step):
        yield (slice(None),) * axis + (slice(start, start + step),)


def mapped_zeros(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that are on the disk until they are written to.

    Raises:
        ResourceError: the disk has not got the room.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    with tempfile.TemporaryFile() as file:
        try:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):
                # A disk that fills up under a map ends the process; so its room is taken now.
                os.posix_fallocate(file.fileno(), 0, size)
            array = np.memmap(file, kind, "r+", shape=tuple(shape))
        except OSError as error:
            raise ResourceError(
                f"cannot make a temporary file of {size / 1e9:.1f} GB in {tempfile.gettempdir()}: "
                f"{error.strerror}. Set TMPDIR to a folder with more room"
            ) from error
    _maps[array.ctypes.data] = array._mmap  # type: ignore[attr-defined]  # numpy's way to the map
    return array


def let_go(array: NDArray[Any]) -> None:
    """Give the memory that holds a mapped array's values back; the values stay. Others are left alone.

    Args:
        array: any part of an array from ``mapped_zeros``, also where a tensor stands between them.
    """
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is None:
        return
    address = array.ctypes.data
    for start, file in list(_maps.items()):
        if start <= address < start + len(file):
            file.madvise(advice)

"""Memory for voxels, which a reader in a child process shares with the program that asked.

A reader that fills what ``empty_voxels`` gives, and returns it or a transposed view of it, is read
without a copy. One that does not is read as well, with a copy.
"""

import mmap
import os
import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_sharing = False
_shared: dict[int, tuple["weakref.ref[mmap.mmap]", int, int]] = {}
"""Where shared memory begins: the memory, its descriptor and its size."""


def empty_voxels(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of this shape, in C order, whose values are not set.

    Raises:
        MemoryError: there is not enough memory.
    """
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if not _sharing or not size:
        return np.empty(shape, dtype)
    memory, descriptor = _new_memory(size)
    array = np.frombuffer(memory, dtype).reshape(shape)
    address = array.__array_interface__["data"][0]
    _shared[address] = weakref.ref(memory), descriptor, size
    weakref.finalize(memory, _forget, address)
    return array


def share() -> None:
    """From now on ``empty_voxels`` gives memory that ``descriptor_of`` knows; called in a child process."""
    global _sharing  # noqa: PLW0603  # a property of the process
    _sharing = True


def descriptor_of(array: NDArray[Any]) -> int:
    """A file without a name, open until the caller closes it, that holds the array's bytes as they lie.

    Args:
        array: contiguous in C or Fortran order.
    """
    address = array.__array_interface__["data"][0]
    _, descriptor, size = _shared.get(address, (None, -1, 0))
    if size == array.nbytes:
        return os.dup(descriptor)
    descriptor = _anonymous_file()
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(array.ravel(order="K").data)
    return descriptor


def map_voxels(descriptor: int, dtype: DTypeLike) -> NDArray[Any]:
    """The values (N,) of a file, which may be closed afterwards; they cannot be changed."""
    if os.fstat(descriptor).st_size == 0:
        return np.empty(0, dtype)
    return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), dtype)


def _new_memory(size: int) -> tuple[mmap.mmap, int]:
    descriptor = _anonymous_file()
    try:
        os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size), descriptor
    except OSError as error:  # the limit on address space
        os.close(descriptor)
        raise MemoryError(f"{size} bytes") from error


def _anonymous_file() -> int:
    """A file without a name: memory on Linux, an unlinked temporary file elsewhere."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("medseg")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _forget(address: int) -> None:
    _, descriptor, _ = _shared.pop(address)
    os.close(descriptor)

"""Arrays on the disk that look like arrays in memory: for what is larger than memory may be.

The file has no name once it is open, so that it is gone with the last reference, whatever happens.
It is made in the folder for temporary files, which the variable TMPDIR names.
"""

import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medseg.errors import ResourceError


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
            return np.memmap(file, kind, "r+", shape=tuple(shape))
        except OSError as error:
            raise ResourceError(
                f"cannot make a temporary file of {size / 1e9:.1f} GB in {tempfile.gettempdir()}: "
                f"{error.strerror}. Set TMPDIR to a folder with more room"
            ) from error


def let_go(array: NDArray[Any]) -> None:
    """Give the memory that holds a mapped array's values back; the values stay. Others are left alone."""
    while not isinstance(getattr(array, "_mmap", None), mmap.mmap):
        if not isinstance(array.base, np.ndarray):
            return
        array = array.base
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is not None:
        array._mmap.madvise(advice)  # type: ignore[attr-defined]  # numpy's way to the map under an array

"""How the C library keeps memory while a network works on a CPU.

glibc gives large blocks back to the system at once, and the system clears every page that it hands out
anew. A network frees and asks for the same blocks at each window and each step, so that clearing pages can
take as long as computing does.
"""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from typing import Any

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
_KEEPING = {_M_MMAP_THRESHOLD: 2**30, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
# Where glibc's own adjustment ends once a large block was freed, and what it begins with.
_USUAL = {_M_MMAP_THRESHOLD: 2**25, _M_TRIM_THRESHOLD: 2**26, _M_TOP_PAD: 2**17}

_lock = threading.Lock()
_depth = 0


@contextlib.contextmanager
def keep_freed_blocks(*, wanted: bool = True) -> Iterator[None]:
    """Have freed blocks stay with the process until the outermost such ``with`` ends.

    The process is as large as its peak until then, and the peak is a little higher. With another C library
    than glibc nothing happens.

    Args:
        wanted: do nothing, if not.
    """
    if not wanted:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _depth  # noqa: PLW0603  # a property of the process
    with _lock:
        _depth += 1
        if _depth == 1:
            _set(_KEEPING)


def _leave() -> None:
    global _depth  # noqa: PLW0603  # a property of the process
    with _lock:
        _depth -= 1
        if _depth == 0 and _set(_USUAL):
            _library().malloc_trim(0)


def _set(wanted: dict[int, int]) -> bool:
    """Set glibc's thresholds, and say whether there are such."""
    mallopt = getattr(_library(), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    for parameter, value in wanted.items():
        mallopt(parameter, value)
    return True


def _library() -> Any:
    return ctypes.CDLL(None)

"""How the C library keeps memory while a network learns on a CPU."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
_HOLD, _LARGE = 2**31 - 1, 2**30


def keep_freed_blocks() -> bool:
    """Have freed blocks stay with the process: each step asks for the same ones again.

    glibc gives large blocks back to the system at once, and the system clears every page that it hands out
    anew, at every step. The process keeps the size of its peak.

    Returns:
        Whether the C library took it; others than glibc know nothing of this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    wanted = ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _HOLD), (_M_TOP_PAD, 2**26))
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted)

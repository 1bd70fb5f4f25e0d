"""The stack that a thread's signals are handled on."""

import ctypes
import gc
import sys

_DISABLE = 2  # SS_DISABLE of signal.h


class _Stack(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def handle_signals_on_own_stack() -> None:
    """Have this thread's signals handled on the stack it runs on, and on no alternate one.

    Needed after a library that gave the thread a stack for signals and may have freed it: the next signal,
    Ctrl-C or the end of a child, would be a segmentation fault.
    """
    if sys.platform != "linux":
        return
    gc.collect()  # what is freed later would put back the stack that it found
    ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(begin=None, flags=_DISABLE, size=0)), None)

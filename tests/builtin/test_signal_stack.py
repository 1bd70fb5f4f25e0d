"""No library's stack for signals outlives its use."""

import ctypes
import sys

import pytest
import torch
from torch import nn

from medseg.builtin.openvino_backends import openvino
from medseg.builtin.signal_stack import _DISABLE, _Stack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux's signals")


def test_openvino_leaves_no_stack_for_signals_behind():
    libc, stack = ctypes.CDLL(None), ctypes.create_string_buffer(2**16)
    given = _Stack(begin=ctypes.addressof(stack), flags=0, size=len(stack))
    assert libc.sigaltstack(ctypes.byref(given), None) == 0
    openvino(nn.Conv3d(1, 2, 3).eval(), torch.zeros(1, 1, 8, 8, 8))
    found = _Stack()
    assert libc.sigaltstack(None, ctypes.byref(found)) == 0
    assert found.flags == _DISABLE

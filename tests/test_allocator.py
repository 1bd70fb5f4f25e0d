"""Blocks that were freed stay while that is wanted, and no longer."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource, sys
import numpy as np
from medseg.allocator import keep_freed_blocks

# Else the system takes larger pages as it sees fit, and their number says little. 41: PR_SET_THP_DISABLE
assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0

def faults_of_a_large_block():
    np.ones(15_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(15_000_000)  # 120 MB: 29297 pages, which the system clears unless the process has them still
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

before = resident()
given_back = faults_of_a_large_block()
with keep_freed_blocks():
    with keep_freed_blocks():
        inner = faults_of_a_large_block()
    outer, most = faults_of_a_large_block(), resident() - before
after, left = faults_of_a_large_block(), resident() - before
with keep_freed_blocks(wanted=False):
    unwanted = faults_of_a_large_block()
print(given_back, inner, outer, after, unwanted, most, left)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's malloc")
def test_freed_blocks_stay_until_the_outermost_with_ends() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
    given_back, inner, outer, after, unwanted, most, left = map(int, said.split())
    assert min(given_back, after, unwanted) > 7000  # one for each page: 4 kB, or 16 on some computers
    assert inner < given_back / 10
    assert outer < given_back / 10
    assert most > 100_000_000 > 50_000_000 > left

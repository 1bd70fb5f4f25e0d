"""How arrays are laid out for the kernels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg_winograd.layers import Reals

CACHE = 2**20  # bytes of rows that are laid out at once: what a core has close by
_LINE = 16  # values in a line of a cache


def in_blocks(weight: NDArray[Any], channels: int) -> Reals:
    """Weights (K,...,T) as (blocks,...,T,channels), filled up with zeros."""
    count = -(-len(weight) // channels)
    padded = np.zeros((count * channels, *weight.shape[1:]), np.float32)
    padded[: len(weight)] = weight
    blocks = padded.reshape(count, channels, *weight.shape[1:])
    return np.ascontiguousarray(np.moveaxis(blocks, 1, -1))


def bias_of(bias: Reals | None, answers: int) -> Reals:
    """The bias (K), which a layer may not have."""
    return np.zeros(answers, np.float32) if bias is None else np.ascontiguousarray(bias, np.float32)


def whole(length: int, lanes: int) -> int:
    """The values of whole vectors that hold so many."""
    return -(-length // lanes) * lanes


def odd_lines(values: int) -> int:
    """At least so many values, in an odd number of a cache's lines.

    Rows that are a power of two apart would all be kept in the same few places of the cache.
    """
    lines = -(-values // _LINE)
    return _LINE * (lines + 1 - lines % 2)

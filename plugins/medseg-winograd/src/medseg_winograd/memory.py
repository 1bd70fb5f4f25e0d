"""Memory of a window's answers, used again once nobody holds them."""

import math
import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Memory:
    """Blocks for tensors, which come back by themselves; as many of a size as were in use at once.

    An allocator fills the place of a large block with small ones, and takes new pages for the next large one.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[Any]]] = defaultdict(list)

    def empty(self, shape: Sequence[int]) -> Tensor:
        """A float32 tensor whose values are whatever was there."""
        size = math.prod(shape)
        free = self._free[size]
        block = free.pop() if free else np.empty(size, np.float32)
        lent = block.reshape(shape)  # a view: it ends with the last tensor on it, the block does not
        weakref.finalize(lent, free.append, block)
        return torch.from_numpy(lent)

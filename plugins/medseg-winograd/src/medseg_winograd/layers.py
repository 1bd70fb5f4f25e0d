"""A layer of a network, planned for one shape of its input, and what it is given."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medseg_winograd.crew import Crew
from medseg_winograd.kernels import sums
from medseg_winograd.machine import Machine

Reals = NDArray[np.float32]
Size = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Channels, and how each is seen: ``x * scale + shift``, and what is then below 0 times its slope.

    Args:
        parts: (C,D,H,W) each, C-contiguous float32; their channels one after the other.
        scale: (C) of all of them, and so on.
        shift: likewise.
        slope: likewise.
    """

    parts: tuple[Tensor, ...]
    scale: Reals
    shift: Reals
    slope: Reals

    def arguments(self) -> dict[str, NDArray[Any]]:
        """What kernels are told of them."""
        begins = [part.data_ptr() + 4 * part[0].numel() * np.arange(len(part)) for part in self.parts]
        images = np.concatenate(begins).astype(np.int64)
        return {"images": images, "scale": self.scale, "shift": self.shift, "slope": self.slope}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution or a transposed one.

    Args:
        machine: with the kernels.
        kernel: that does it.
        values: of the kernel's arguments, but for those that a run has.
        tasks: how many there are.
        shape: of the answer, (K,D,H,W).
        units: of the answer that the kernel writes one by one: channels, or some rows of these.
        rows: values of ``v`` and ``m``.
    """

    machine: Machine
    kernel: str
    values: Mapping[str, Any]
    tasks: int
    shape: tuple[int, int, int, int]
    units: int
    rows: tuple[int, int]

    def run(self, given: Channels, out: Tensor, crew: Crew) -> NDArray[np.float64]:
        """Write the answer.

        Args:
            given: the input.
            out: ``shape``, where the answer goes.
            crew: who does it.

        Returns:
            Mean and variance (2,K) of the answer's channels.
        """
        records = np.empty((self.tasks, self.units, sums.RECORD), np.float64)
        values = {**self.values, **given.arguments(), "out": out.numpy(), "sums": records}

        def begin() -> Callable[[int, int], None]:
            v, m = np.zeros(self.rows[0], np.float32), np.empty(self.rows[1], np.float32)
            return self.machine.prepared(self.kernel, {**values, "v": v, "m": m})

        crew.share(self.tasks, begin)
        return _moments(records, self.shape)


def settle(given: Channels, out: Tensor, machine: Machine, crew: Crew) -> None:
    """Write channels (C,D,H,W) as what they stand for."""
    values = {**given.arguments(), "voxels": out[0].numel(), "out": out.numpy()}
    crew.share(len(out), lambda: machine.prepared("settle", values))


def _moments(records: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean and variance (2,K) of an answer's channels, from the records (tasks,units,2) of parts of these."""
    total, squares = records.reshape(-1, shape[0], sums.RECORD).sum(0).T / math.prod(shape[1:])
    return np.stack([total, np.maximum(squares - total**2, 0)])

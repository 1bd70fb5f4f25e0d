"""A layer of a network, planned for one shape of its input, and what it is given."""

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
        counts: (tasks), of each the values of a unit that it writes.
        shape: of the answer, (K,D,H,W).
        units: of the answer that the kernel writes one by one: channels, or some rows of these.
        rows: values of ``v`` and ``m``.
    """

    machine: Machine
    kernel: str
    values: Mapping[str, Any]
    counts: NDArray[np.int64]
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
        records = np.empty((len(self.counts), self.units, sums.RECORD), np.float32)
        values = {**self.values, **given.arguments(), "out": out.numpy(), "sums": records}

        def begin() -> Callable[[int, int], None]:
            v, m = np.zeros(self.rows[0], np.float32), np.empty(self.rows[1], np.float32)
            return self.machine.prepared(self.kernel, {**values, "v": v, "m": m})

        crew.share(len(self.counts), begin)
        return _moments(records, self.counts, self.shape[0])


def settle(given: Channels, out: Tensor, machine: Machine, crew: Crew) -> None:
    """Write channels (C,D,H,W) as what they stand for."""
    values = {**given.arguments(), "voxels": out[0].numel(), "out": out.numpy()}
    crew.share(len(out), lambda: machine.prepared("settle", values))


def _moments(records: Reals, counts: NDArray[np.int64], answers: int) -> NDArray[np.float64]:
    """Mean and variance (2,K) of all values, from the records (tasks,units,3) of some at a time."""
    of_channels = records.astype(np.float64).reshape(len(records), -1, answers, sums.RECORD)
    first, total, squares = np.moveaxis(of_channels, 3, 0)
    count = counts[:, None, None].astype(np.float64)
    whole = count.sum() * first.shape[1]
    means = first + total / count
    mean = (count * means).sum((0, 1)) / whole
    spread = squares - total**2 / count + count * (means - mean) ** 2
    return np.stack([mean, spread.sum((0, 1)) / whole])

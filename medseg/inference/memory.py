"""How much memory a run will need, said before it begins.

The network's share is counted by running it once on torch's ``meta`` device, where tensors have sizes
but no memory: the tensors that live at the same time are added up, with what CPU kernels take besides.
"""

import copy
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medseg.errors import OptionError, ResourceError
from medseg.inference.windows import slab_axis
from medseg.plugin import Slices, WholeGrid, Windows
from medseg.volume import Grid, smallest_integer_type

_UPSAMPLING = 150_000_000  # bytes: pieces of labels.py and the points of upsampling.py
_OWN_LAYOUT = ("convolution", "conv")  # oneDNN copies what goes in and out of these to a layout of its own


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes that a run will need at its peak.

    Args:
        before: what the process holds already: libraries, weights, the volumes that were read.
        image: the network's input.
        preparing: the input and what resampling it takes besides.
        window: the tensors that live while the network runs once.
        stitching: the rows that are not finished, of all classes.
        labels: the result.
        restoring: one window's answer, and what interpolation to the labels' grid takes besides.
    """

    before: int
    image: int
    preparing: int
    window: int
    stitching: int
    labels: int
    restoring: int

    @property
    def peak(self) -> int:
        """The most that is held at once."""
        running = self.image + self.stitching + self.labels + max(self.window, self.restoring)
        return self.before + max(self.preparing, running)

    def as_json(self) -> dict[str, int]:
        """For the provenance."""
        return {**asdict(self), "peak": self.peak}

    def check(self, max_ram: int | None) -> None:
        """Refuse a run that would need more than it may have.

        Raises:
            ResourceError: it says how much is needed, and for what.
        """
        if max_ram is not None and self.peak > max_ram:
            raise ResourceError(
                f"this run needs about {self.peak / 1e9:.2f} GB, {self.window / 1e9:.2f} GB of them for one "
                f"window; --max-ram allows {max_ram / 1e9:.2f} GB. Allow more, or crop the input"
            )


def plan_memory(
    window_bytes: int,
    patch: Windows | Slices | WholeGrid,
    *,
    channels: int,
    classes: int,
    grid: Grid,
    home: Grid,
) -> MemoryPlan:
    """Predict the memory of one run on the CPU.

    Args:
        window_bytes: of the network on one window, from ``live_bytes``.
        patch: as the contract says.
        channels: C of the image.
        classes: K.
        grid: of the image.
        home: that the labels are wanted on.
    """
    voxels, wanted = int(np.prod(grid.shape)), int(np.prod(home.shape))
    window, rest = _window(patch, grid.shape)
    answer = 4 * classes * int(np.prod(window))
    image = 4 * channels * voxels
    return MemoryPlan(
        before=resident_bytes(),
        image=image,
        # Resampling holds the array in float32 on the old grid and the new one, and a part of it besides.
        preparing=image + 4 * (2 * voxels + max(voxels, wanted)),
        window=window_bytes,
        stitching=4 * (classes + 1) * rest,
        labels=wanted * np.dtype(smallest_integer_type(classes)).itemsize,
        restoring=answer + _UPSAMPLING,
    )


def live_bytes(network: nn.Module, window: Sequence[int]) -> int:
    """Bytes of the tensors that live at once while a network runs on a window (1,C,*S).

    A network that does not run on the meta device, because it looks at values, is taken for one that
    holds 64 maps of the window's size.
    """
    unreal = copy.deepcopy(network).to("meta")
    live = _Live()
    try:
        with torch.inference_mode(), live:
            unreal(torch.empty(*window, device="meta"))
    except (RuntimeError, NotImplementedError):
        return 64 * 4 * int(np.prod(window[2:]))
    return live.peak


def parse_bytes(text: str) -> int:
    """``"4GiB"``, ``"500 MB"`` or ``"2e9"`` as bytes.

    Raises:
        OptionError: it is not written like that.

    Example:
        >>> parse_bytes("4GiB")
        4294967296
    """
    match = re.fullmatch(r"\s*([0-9.eE+]+)\s*([kMGT]i?)?B?\s*", text)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or number <= 0:
        raise OptionError(
            f"{text!r} is no amount of memory; wanted a number and a unit, such as 4GiB or 500MB"
        )
    prefix = match[2] or ""
    power = " kMGT".index(prefix[:1] or " ")
    return int(number * (1024 if prefix.endswith("i") else 1000) ** power)


def resident_bytes() -> int:
    """What this process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has untyped methods
    """Follows every tensor that an operation makes, until nothing refers to its memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.peak = 0
        self._sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],  # torch's signature
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        for tensor in made:
            storage = tensor.untyped_storage()
            self._sizes[StorageWeakRef(storage)] = storage.nbytes()  # type: ignore[no-untyped-call]  # torch's
        gone = [ref for ref in self._sizes if ref.expired()]  # type: ignore[no-untyped-call]  # torch's
        for ref in gone:
            del self._sizes[ref]
        besides = 0
        if any(name in str(func) for name in _OWN_LAYOUT):
            given = [t for t in tree_leaves(args) if isinstance(t, Tensor)][:1]
            besides = sum(t.untyped_storage().nbytes() for t in (*given, *made))
        self.peak = max(self.peak, sum(self._sizes.values()) + besides)
        return result


def _window(patch: Windows | Slices | WholeGrid, shape: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Shape of what the network sees at once, and voxels of the rows that are not finished."""
    if isinstance(patch, WholeGrid):
        return patch.shape, 0
    if isinstance(patch, Slices):
        across = [n for axis, n in enumerate(shape) if axis != patch.axis]
        return patch.size, int(np.prod(np.maximum(across, patch.size)))
    padded = np.maximum(shape, patch.size)
    axis = slab_axis(padded.tolist(), patch.size)
    return patch.size, int(np.prod(padded)) // int(padded[axis]) * patch.size[axis]

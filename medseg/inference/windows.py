"""Slide a network over an image, blend what it says, and let each row go once it is finished.

Windows come in order along one axis. Rows that no later window reaches are final; what is held is one
window's length of that axis, whatever the image's. Placement, weights and padding are those of MONAI's
``sliding_window_inference`` (1.6) or of nnU-Net's predictor (2.6), as the contract says; tests hold
medseg and both to the same numbers.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medseg.errors import ContractError
from medseg.inference.slab import Slab
from medseg.inference.weights import ClampedGaussian, Partition
from medseg.plugin import Windows
from medseg.progress import CancelToken

Network = Callable[[Tensor], Tensor]
Box = tuple[slice, ...]


def slide(
    network: Network,
    image: Tensor,
    windows: Windows,
    *,
    on_window: Callable[[int, int], None] | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:
    """Blend a network's logits over all windows, and keep all of them; for the rest see ``slide_slabs``.

    Returns:
        (K,*S) float32 on the image's device.
    """
    total: Tensor | None = None
    for slab in slide_slabs(network, image, windows, on_window=on_window, cancel=cancel):
        if total is None:
            total = torch.empty((len(slab.logits), *image.shape[1:]), device=image.device)
        rows = slab.logits.shape[slab.axis + 1]
        total.narrow(slab.axis + 1, slab.start, rows).copy_(slab.logits)
    assert total is not None  # there is always at least one window
    return total


def slide_slabs(
    network: Network,
    image: Tensor,
    windows: Windows,
    *,
    on_window: Callable[[int, int], None] | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Slab]:
    """Blend a network's logits over all windows, and yield rows as they are finished.

    Args:
        network: (1,C,*window) -> logits (1,K,*window).
        image: (C,*S), on the network's device.
        windows: size, overlap, blending and placement.
        on_window: called with (done, total) after each window.
        cancel: checked before each window.

    Yields:
        Slabs on the image's device, along the axis on which the fewest values are held.

    Raises:
        ContractError: a window without voxels, an overlap outside 0 <= overlap < 1, or a network that
            does not answer every voxel of a window.
    """
    if min(windows.size) < 1 or not 0 <= windows.overlap < 1:
        raise ContractError(
            f"windows of {tuple(windows.size)} voxels with an overlap of {windows.overlap}: wanted sizes "
            "of at least 1 and 0 <= overlap < 1"
        )
    sizes = tuple(windows.size)
    padded, inner = pad_to(image, sizes)
    starts = place(padded.shape[1:], windows)
    axis = slab_axis(padded.shape[1:], sizes)
    corners = sorted(itertools.product(*starts), key=lambda corner: corner[axis])
    ring: _Ring | None = None
    for done, corner in enumerate(corners, start=1):
        if cancel:
            cancel.check()
        box = tuple(slice(a, a + size) for a, size in zip(corner, sizes, strict=True))
        logits = network(padded[(slice(None), *box)].unsqueeze(0))[0].float()
        if tuple(logits.shape[1:]) != sizes:
            raise ContractError(
                f"the network answered {sizes} voxels with {tuple(logits.shape[1:])}; wanted as many out as "
                "in. A U-Net built with padding='valid' gives the middle alone: build it with "
                "padding='mirror', which takes the same weights"
            )
        if on_window:
            on_window(done, len(corners))
        if len(corners) == 1:
            yield Slab(logits=logits[(slice(None), *inner)], axis=axis, start=0)
            return
        if ring is None:
            ring = _Ring(len(logits), padded, starts, windows, axis)
        ring.add(logits, corner)
        following = corners[done][axis] if done < len(corners) else padded.shape[axis + 1]
        if following > corner[axis]:
            yield from _inside(ring.finished(following), inner)
            ring.advance_to(following)


def place(shape: Sequence[int], windows: Windows) -> list[list[int]]:
    """Where windows begin along each axis of an image that is at least as large as one.

    MONAI steps by whole voxels and moves the last window back inside; nnU-Net spaces windows evenly.
    """
    return [
        (_snapped if windows.placement == "monai" else _even)(n, size, windows.overlap)
        for n, size in zip(shape, windows.size, strict=True)
    ]


def slab_axis(shape: Sequence[int], sizes: Sequence[int]) -> int:
    """The axis on which a window is the smallest part of the image: there the fewest values are held."""
    return min(range(len(sizes)), key=lambda axis: sizes[axis] / shape[axis])


class _Ring:
    """The sums of the rows that a window along one axis can still reach."""

    def __init__(
        self, classes: int, padded: Tensor, starts: Sequence[Sequence[int]], windows: Windows, axis: int
    ) -> None:
        shape = list(padded.shape[1:])
        shape[axis] = windows.size[axis]
        self._sizes, self._axis, self._start = windows.size, axis, 0
        self._sums = torch.zeros((classes, *shape), device=padded.device)
        self._blend: Partition | ClampedGaussian
        if windows.placement == "monai" and windows.blend == "gaussian":
            self._blend = ClampedGaussian(windows.size)
        else:
            self._blend = Partition(starts, windows.size, windows.blend)
        self._counts = None if self._blend.sums_to_one else torch.zeros((1, *shape), device=padded.device)

    def add(self, logits: Tensor, corner: tuple[int, ...]) -> None:
        """Add a window's weighted logits."""
        begins = [a - self._start * (n == self._axis) for n, a in enumerate(corner)]
        box = (slice(None), *(slice(a, a + size) for a, size in zip(begins, self._sizes, strict=True)))
        weight = self._blend.at(corner).to(logits.device)
        self._sums[box].addcmul_(logits, weight)
        if self._counts is not None:
            self._counts[box] += weight

    def finished(self, following: int) -> Slab:
        """The rows before the next window's."""
        rows = self._sums.narrow(self._axis + 1, 0, following - self._start)
        if self._counts is not None:
            rows.div_(self._counts.narrow(self._axis + 1, 0, following - self._start))
        return Slab(logits=rows, axis=self._axis, start=self._start)

    def advance_to(self, following: int) -> None:
        """Forget the finished rows and make room for as many."""
        gone, along = following - self._start, self._axis + 1
        for kept in (self._sums, self._counts):
            if kept is None:
                continue
            # Row by row: source and target of one copy would overlap.
            for row in range(kept.shape[along] - gone):
                kept.select(along, row).copy_(kept.select(along, row + gone))
            kept.narrow(along, max(0, kept.shape[along] - gone), min(gone, kept.shape[along])).zero_()
        self._start = following


def _inside(slab: Slab, inner: Box) -> Iterator[Slab]:
    """The part of a slab that is no padding, if there is any."""
    wanted = inner[slab.axis]
    rows = slab.logits.shape[slab.axis + 1]
    begin, end = max(slab.start, wanted.start), min(slab.start + rows, wanted.stop)
    if begin < end:
        box = list(inner)
        box[slab.axis] = slice(begin - slab.start, end - slab.start)
        yield Slab(logits=slab.logits[(slice(None), *box)], axis=slab.axis, start=begin - wanted.start)


def _snapped(length: int, size: int, overlap: float) -> list[int]:
    step = size if size == length else max(1, int(size * (1 - overlap)))
    count = -(-(length - size) // step) + 1
    return [min(n * step, length - size) for n in range(count)]


def _even(length: int, size: int, overlap: float) -> list[int]:
    count = math.ceil((length - size) / (size * (1 - overlap))) + 1
    step = (length - size) / (count - 1) if count > 1 else 0.0
    return [round(n * step) for n in range(count)]


def pad_to(image: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Box]:
    """Pad with zeros, evenly, where the image is smaller than a window; and where the image is then."""
    short = [max(size - n, 0) for n, size in zip(image.shape[1:], sizes, strict=True)]
    before = [missing // 2 for missing in short]
    inner = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    if not any(short):
        return image, inner
    pairs = [(b, missing - b) for b, missing in zip(before, short, strict=True)]
    return F.pad(image, [n for pair in reversed(pairs) for n in pair]), inner

"""Slide a network over an image and blend what it says.

Placement, weights and padding are those of MONAI's ``sliding_window_inference`` (1.6), so that the
same network gives the same probabilities; a test holds the two together.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medseg.errors import ContractError
from medseg.plugin import Windows
from medseg.progress import CancelToken

SIGMA = 0.125  # of a window's size: the Gaussian's width in MONAI and nnU-Net
SMALLEST_WEIGHT = 1e-3  # MONAI's clamp: a voxel seen only by a window's corner still counts

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
    """Blend a network's logits over all windows.

    Args:
        network: (1,C,*window) -> logits (1,K,*window).
        image: (C,*S), on the network's device.
        windows: size, overlap and blending.
        on_window: called with (done, total) after each window.
        cancel: checked before each window.

    Returns:
        (K,*S) float32 on the image's device.

    Raises:
        ContractError: a window without voxels, or an overlap outside 0 <= overlap < 1.
    """
    if min(windows.size) < 1 or not 0 <= windows.overlap < 1:
        raise ContractError(
            f"windows of {tuple(windows.size)} voxels with an overlap of {windows.overlap}: wanted sizes "
            "of at least 1 and 0 <= overlap < 1"
        )
    sizes = tuple(windows.size)
    padded, inner = _pad_to(image, sizes)
    boxes = list(place(padded.shape[1:], sizes, windows.overlap))
    weight = blend_weights(sizes, windows.blend).to(image.device)
    total: Tensor | None = None
    seen = torch.zeros(padded.shape[1:], device=image.device)
    for done, box in enumerate(boxes, start=1):
        if cancel:
            cancel.check()
        logits = network(padded[(slice(None), *box)].unsqueeze(0))[0].float()
        if total is None:
            total = torch.zeros((logits.shape[0], *padded.shape[1:]), device=image.device)
        total[(slice(None), *box)].addcmul_(logits, weight)
        seen[box] += weight
        if on_window:
            on_window(done, len(boxes))
    assert total is not None  # there is always at least one window
    return total.div_(seen)[(slice(None), *inner)]


def place(shape: Sequence[int], sizes: Sequence[int], overlap: float) -> Iterator[Box]:
    """The windows' boxes, last axis fastest; the last window of an axis is moved back inside."""
    starts = [_starts(n, size, overlap) for n, size in zip(shape, sizes, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(slice(a, a + size) for a, size in zip(corner, sizes, strict=True))


def blend_weights(sizes: Sequence[int], blend: str) -> Tensor:
    """Weight of each voxel of a window (*sizes): ones, or a Gaussian clamped from below."""
    weight = torch.ones(tuple(sizes))
    if blend == "constant":
        return weight
    for axis, size in enumerate(sizes):
        x = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        along = [1] * len(sizes)
        along[axis] = size
        weight = weight * torch.exp(x**2 / (-2 * (SIGMA * size) ** 2)).reshape(along)
    return weight.clamp_(min=max(float(weight.min()), SMALLEST_WEIGHT))


def _starts(length: int, size: int, overlap: float) -> list[int]:
    step = size if size == length else max(1, int(size * (1 - overlap)))
    count = -(-(length - size) // step) + 1
    return [min(n * step, length - size) for n in range(count)]


def _pad_to(image: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Box]:
    """Pad with zeros, evenly, where the image is smaller than a window; and where the image is then."""
    short = [max(size - n, 0) for n, size in zip(image.shape[1:], sizes, strict=True)]
    before = [missing // 2 for missing in short]
    inner = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    if not any(short):
        return image, inner
    pairs = [(b, missing - b) for b, missing in zip(before, short, strict=True)]
    return F.pad(image, [n for pair in reversed(pairs) for n in pair]), inner

"""Windows of an image to calibrate a network of lower precision with, and to check it on."""

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from medseg.inference.network import central_window
from medseg.inference.windows import pad_to, place
from medseg.plugin import Slices, WholeGrid, Windows

MOST = 5  # windows: one to check on, the others to calibrate with


def windows_of(image: Tensor, patch: Windows | Slices | WholeGrid) -> Tensor:
    """Windows (N,C,*window) of an image (C,I,J,K): the middle one, then others spread over it.

    Windows of one single value say nothing and are left out. Where the image has one window only, its
    mirror images stand in for others: their values are the same, their neighbourhoods are not.
    """
    first = central_window(image, patch)
    others = [window for window in _candidates(image, patch) if float(window.amax() - window.amin()) > 0]
    count = MOST - 1
    if not others:
        return torch.cat([first, *(first.flip(axis) for axis in range(2, first.ndim))])
    spread = others if len(others) <= count else [others[n * len(others) // count] for n in range(count)]
    return torch.cat([first, *spread])


def _candidates(image: Tensor, patch: Windows | Slices | WholeGrid) -> list[Tensor]:
    """Windows (1,C,*window) other than the middle one."""
    if isinstance(patch, WholeGrid):
        return []
    if isinstance(patch, Slices):
        count = image.shape[patch.axis + 1]
        places = sorted({n * count // (2 * MOST) for n in range(1, 2 * MOST)} - {count // 2})
        return [central_window(image, patch, at=n) for n in places]
    padded, _ = pad_to(image, patch.size)
    starts = place(padded.shape[1:], replace(patch, overlap=0.0))
    boxes = [
        tuple(slice(a, a + size) for a, size in zip(corner, patch.size, strict=True))
        for corner in itertools.product(*starts)
    ]
    return [padded[(slice(None), *box)][None] for box in boxes] if len(boxes) > 1 else []

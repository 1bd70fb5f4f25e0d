"""Mean intensity inside and outside a contour, of the whole image or of a box around each voxel.

T. Chan, L. Vese: Active contours without edges. IEEE TIP 10, 2001. The box: S. Lankton,
A. Tannenbaum: Localizing region-based active contours. IEEE TIP 17, 2008.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from medseg_contours.differences import Lattice

Heaviside = Literal["sine", "arctan"]
Region = Literal["local", "global"]
LEAST = 1e-4  # of a window: below it a side counts as absent


def heaviside(phi: Tensor, *, eps: float = 1.0, form: Heaviside = "arctan") -> Tensor:
    """How much of each voxel is inside, in [0, 1].

    Args:
        phi: (B,K,*S) in units.
        eps: half the width of the transition, in units.
        form: ``arctan`` is positive everywhere; ``sine`` is exactly 0 and 1 beyond eps.
    """
    if form == "arctan":
        return torch.atan(phi / eps) / math.pi + 0.5
    x = (phi / eps).clamp(-1, 1)
    return (1 + x + torch.sin(math.pi * x) / math.pi) / 2


def standardise(image: Tensor) -> Tensor:
    """Zero mean and unit deviation for each sample and channel (B,C,*S); a constant becomes 0.

    The forces of a contour grow with the square of the contrast, so its speed would otherwise
    depend on the scanner's unit.
    """
    axes = tuple(range(2, image.ndim))
    mean = image.mean(dim=axes, keepdim=True)
    centred = image - mean
    variance = centred.square().mean(dim=axes, keepdim=True)
    return centred * (variance + 1e-10 * mean.square() + 1e-12).rsqrt()


class RegionMeans:
    """What does not change while a contour moves: the image, and its sums over each window.

    Args:
        image: (B,C,*S).
        lattice: of the image.
        region: ``global`` or ``local`` means.
        window_mm: half the width of the box, if local.
    """

    def __init__(self, image: Tensor, lattice: Lattice, *, region: Region, window_mm: float) -> None:
        self.image = image
        self._axes = tuple(range(2, image.ndim))
        self._lattice, self._region, self._window_mm = lattice, region, window_mm
        self._image_sum = self._sum(image)
        self._count = self._sum(torch.ones_like(image[:, :1]))

    def squared_residuals(self, inside: Tensor) -> tuple[Tensor, Tensor]:
        """(I - m1)^2 and (I - m2)^2, each (B,K,*S), averaged over the image's channels.

        Where a window holds nothing of a side, that side's mean is the window's own, so that
        neither side pulls.

        Args:
            inside: (B,K,*S) in [0, 1].
        """
        inside_count = self._sum(inside)
        floor = LEAST * self._count
        within = torch.zeros_like(inside)
        beyond = torch.zeros_like(inside)
        channels = self.image.shape[1]
        for c in range(channels):
            values, values_sum = self.image[:, c : c + 1], self._image_sum[:, c : c + 1]
            prior = LEAST * values_sum
            inside_sum = self._sum(values * inside)
            m1 = (inside_sum + prior) / (inside_count + floor)
            m2 = (values_sum - inside_sum + prior) / (self._count - inside_count + floor)
            within = within + (values - m1).square() / channels
            beyond = beyond + (values - m2).square() / channels
        return within, beyond

    def _sum(self, x: Tensor) -> Tensor:
        if self._region == "global":
            return x.sum(dim=self._axes, keepdim=True)
        return window_sums(x, self._lattice, self._window_mm)


def window_sums(x: Tensor, lattice: Lattice, window_mm: float | tuple[float, ...]) -> Tensor:
    """Sums over the box that reaches ``window_mm`` around each voxel, by each sample's spacing: (B,K,*S).

    Args:
        x: (B,K,*S).
        lattice: of the maps.
        window_mm: of all samples, or one for each.
    """
    rows, windows = lattice.spacing_mm, window_mm if isinstance(window_mm, tuple) else (window_mm,)
    if len(rows) == len(windows) == 1:
        return box_sum(x, half_widths(windows[0], rows[0], x.shape[2:]))
    return torch.cat(
        [
            box_sum(x[b : b + 1], half_widths(windows[b % len(windows)], rows[b % len(rows)], x.shape[2:]))
            for b in range(x.shape[0])
        ]
    )


def half_widths(window_mm: float, spacing_mm: Sequence[float], shape: Sequence[int]) -> list[int]:
    """Voxels on each side of the middle one, so that the box reaches window_mm and fits into the image."""
    return [min(max(1, round(window_mm / h)), (n - 1) // 2) for h, n in zip(spacing_mm, shape, strict=True)]


def box_sum(x: Tensor, halves: Sequence[int]) -> Tensor:
    """Sum over the box of 2 s + 1 voxels around each voxel, with zeros beyond the border: (B,K,*S)."""
    for axis, half in enumerate(halves, start=2):
        x = _window_sum(x, axis, half)
    return x


def _window_sum(x: Tensor, axis: int, half: int) -> Tensor:
    """Sums of 1, 2, 4, ... neighbours make any width: log2 additions, pairwise like a careful sum.

    A running sum needs fewer, but float32 loses digits over it; and no addition is kept for
    the gradient, which a pooling layer is.
    """
    n = x.shape[axis]
    edge = [*x.shape]
    edge[axis] = half
    zeros = x.new_zeros(edge)
    power, width, offset = torch.cat((zeros, x, zeros), dim=axis), 1, 0
    total: Tensor | None = None
    rest = 2 * half + 1
    while rest:
        if rest & 1:
            piece = power.narrow(axis, offset, n)
            total = piece if total is None else total + piece
            offset += width
        rest >>= 1
        if rest:
            length = power.shape[axis] - width
            power = power.narrow(axis, 0, length) + power.narrow(axis, width, length)
            width *= 2
    assert total is not None  # the width is odd
    return total

"""Finite differences on a grid whose axes have different steps, one set of steps for each sample.

Lengths are in units of each sample's smallest step, so that time step, band and smoothing need no
retuning when the voxels change. Beyond the border a map goes on with its last value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.errors import ContractError


@dataclass(frozen=True, eq=False)
class Lattice:
    """The steps of a grid.

    Args:
        steps: for each axis its step in units, (B,1,*1) or (1,1,*1).
        unit_mm: the smallest step of each sample in mm, of the same shape.
        spacing_mm: what it was made of: a row of steps for each sample, or one row for all.
    """

    steps: tuple[Tensor, ...]
    unit_mm: Tensor
    spacing_mm: tuple[tuple[float, ...], ...]


def lattice_of(spacing_mm: Tensor | Sequence[float], like: Tensor) -> Lattice:
    """The lattice on which a map lies.

    Args:
        spacing_mm: (D,), or (B,D) where the samples differ.
        like: (B,*,*S) with D spatial axes; gives device and type.

    Raises:
        ContractError: a spacing of another shape, or one that is not positive.
    """
    dims = like.ndim - 2
    spacing = torch.as_tensor(spacing_mm, dtype=like.dtype, device=like.device)
    rows = spacing.reshape(-1, spacing.shape[-1]) if spacing.ndim in (1, 2) else spacing
    if rows.ndim != 2 or rows.shape[1] != dims or rows.shape[0] not in (1, like.shape[0]):
        raise ContractError(
            f"a batch of shape {tuple(like.shape)} wants spacing_mm of shape ({dims},) or "
            f"({like.shape[0]}, {dims}); got {tuple(spacing.shape)}"
        )
    if not bool((rows.isfinite() & (rows > 0)).all()):
        raise ContractError(f"spacing_mm is positive and finite; got {rows.tolist()}")
    column = rows.reshape(len(rows), 1, dims, *[1] * dims)
    unit = column.amin(dim=2)
    return Lattice(
        steps=tuple(column[:, :, axis] / unit for axis in range(dims)),
        unit_mm=unit,
        spacing_mm=tuple(tuple(row) for row in rows.tolist()),
    )


def curvature(phi: Tensor, steps: Sequence[Tensor], *, eta: float = 0.1) -> Tensor:
    """div(grad phi / |grad phi|): negative where the inside (phi > 0) bulges, -1/R on a disc, -2/R on a ball.

    Fluxes through the faces between voxels, so that no value exceeds the sum of 2/h_i and the
    divergence of a constant map is exactly 0.

    Args:
        phi: (B,K,*S).
        steps: of the lattice, one for each axis.
        eta: floor of |grad phi|, without which plateaus have infinite gradients.
    """
    slopes = [central_slope(phi, axis, h) for axis, h in enumerate(steps)]
    total = torch.zeros_like(phi)
    for axis, h in enumerate(steps):
        along = phi.diff(dim=axis + 2) / h
        squared = along.square() + eta**2
        for other, slope in enumerate(slopes):
            if other != axis:
                squared = squared + _face_mean(slope, axis).square()
        flux = along * squared.rsqrt()
        closed = torch.zeros_like(phi.narrow(axis + 2, 0, 1))  # nothing flows through the border
        total = total + torch.cat((closed, flux, closed), dim=axis + 2).diff(dim=axis + 2) / h
    return total


def slope_length(phi: Tensor, steps: Sequence[Tensor], *, eta: float = 0.1) -> Tensor:
    """|grad phi| by central differences, with the floor eta: (B,K,*S)."""
    squared = torch.full_like(phi, eta**2)
    for axis, h in enumerate(steps):
        squared = squared + central_slope(phi, axis, h).square()
    return squared.sqrt()


def central_slope(phi: Tensor, axis: int, step: Tensor) -> Tensor:
    """The derivative along one spatial axis, (B,K,*S)."""
    inner = _extended(phi, axis)
    n = phi.shape[axis + 2]
    return (inner.narrow(axis + 2, 2, n) - inner.narrow(axis + 2, 0, n)) / (2 * step)


def one_sided_slopes(phi: Tensor, axis: int, step: Tensor) -> tuple[Tensor, Tensor]:
    """The derivatives towards the voxel before and the voxel behind, each (B,K,*S)."""
    jumps = _extended(phi, axis).diff(dim=axis + 2) / step
    n = phi.shape[axis + 2]
    return jumps.narrow(axis + 2, 0, n), jumps.narrow(axis + 2, 1, n)


def _extended(phi: Tensor, axis: int) -> Tensor:
    n = phi.shape[axis + 2]
    first, last = phi.narrow(axis + 2, 0, 1), phi.narrow(axis + 2, n - 1, 1)
    return torch.cat((first, phi, last), dim=axis + 2)


def _face_mean(values: Tensor, axis: int) -> Tensor:
    n = values.shape[axis + 2]
    return (values.narrow(axis + 2, 0, n - 1) + values.narrow(axis + 2, 1, n - 1)) / 2

"""Bring slices onto the stack's even and straight grid by linear interpolation, where that was allowed."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.volume import Affine
from medseg_dicom.stack import Stack

Slices = NDArray[Any]
"""(K, R, C): slices, rows, columns."""


def fill_gaps(slices: Slices, stack: Stack) -> Slices:
    """Interpolate the slices of the grid from those that there are.

    Args:
        slices: one for each of ``stack.offsets_mm``.
        stack: says where they are and where slices are wanted.

    Returns:
        One for each of ``stack.targets_mm``; the same array if none is missing. Integers are rounded.
    """
    offsets, targets = stack.offsets_mm, stack.targets_mm
    if targets is offsets:
        return slices
    above = np.clip(np.searchsorted(offsets, targets - 1e-6), 1, len(offsets) - 1)
    weights = np.clip((targets - offsets[above - 1]) / (offsets[above] - offsets[above - 1]), 0, 1)
    filled = np.empty((len(targets), *slices.shape[1:]), slices.dtype)
    for index, (upper, weight) in enumerate(zip(above, weights, strict=True)):
        filled[index] = _as(slices.dtype, (1 - weight) * slices[upper - 1] + weight * slices[upper])
    return filled


def straighten(slices: Slices, stack: Stack, *, outside: float) -> tuple[Slices, Affine]:
    """Shift each slice of a leaning stack within its plane until all stand one above the other.

    Args:
        slices: one for each slice of the stack's grid.
        stack: its shear says by how many pixels each slice is shifted against the one before.
        outside: value where no slice was measured.

    Returns:
        (K, R', C'), large enough for all slices; and the straight grid's affine.
    """
    lean = np.outer(np.arange(len(slices)), stack.shear)  # columns and rows from the first slice
    low = np.floor(lean.min(axis=0) + 1e-9)
    across, down = (np.ceil(lean.max(axis=0) - 1e-9) - low).astype(int)
    _, rows, columns = slices.shape
    straight = np.full((len(slices), rows + down, columns + across), _as(slices.dtype, outside), slices.dtype)
    for index, (shift_across, shift_down) in enumerate(lean - low):
        moved, top = _shifted(slices[index], shift_down, axis=0)
        moved, left = _shifted(moved, shift_across, axis=1)
        straight[index, top : top + moved.shape[0], left : left + moved.shape[1]] = _as(slices.dtype, moved)
    affine = stack.affine.copy()
    affine[:3, 2] -= affine[:3, :2] @ stack.shear
    affine[:3, 3] += affine[:3, :2] @ low
    return straight, affine


def _shifted(image: NDArray[Any], shift: float, *, axis: int) -> tuple[NDArray[Any], int]:
    """Values at whole positions of an image that begins at ``shift``, and the first such position."""
    first = int(np.ceil(shift - 1e-9))
    fraction = first - shift
    if abs(fraction) < 1e-6:
        return image, first
    near, far = (np.take(image, range(start, image.shape[axis] - 1 + start), axis) for start in (0, 1))
    return (1 - fraction) * near + fraction * far, first


def _as(kind: np.dtype[Any], values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    return (np.rint(array) if kind.kind == "i" else array).astype(kind)

"""Resample as nnU-Net (2.x) does, so that its models see here what they saw in training.

Three things differ from ``geometry.resample``. The number of voxels is rounded and the field of view is
then divided by it, so that the spacing is only nearly the wanted one. Values stay within the range of
the source, which a cubic spline would leave. And where voxels are over three times longer along one axis
than along another, slices across that axis are resampled each by itself and then taken by nearest
neighbour. Source: nnunetv2.preprocessing.resampling.default_resampling.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medseg.errors import VolumeError
from medseg.geometry import centred_positions
from medseg.interpolation import Interpolation, sample_parallel
from medseg.volume import MAX_VOXELS_PER_AXIS, Grid, Volume

_DOUBLE = 1e-12  # of a length: rounding of double precision
ANISOTROPIC = 3  # times the shortest voxel side: from above this, the longest is kept apart


def header_spacing(grid: Grid) -> tuple[float, ...]:
    """The voxel size as nnU-Net reads it: float32 numbers that a header holds.

    An oblique affine, itself of float32, gives it only nearly, and what is decided below turns on equal
    sides, on three times and on halves.
    """
    stored = []
    for mm in grid.spacing_mm:
        nearest = float(np.float32(mm))
        exact = abs(mm - nearest) <= _DOUBLE * mm
        stored.append(nearest if exact else float(np.float32(f"{mm:.6g}")))
    return tuple(stored)


def separate_axis(before_mm: Sequence[float], after_mm: Sequence[float]) -> int | None:
    """The axis that is resampled apart, by nearest neighbour; None if none is.

    Args:
        before_mm: spacing that is resampled from; it decides if it is anisotropic, else the other one.
        after_mm: spacing that is resampled to.
    """
    for spacing in (before_mm, after_mm):
        if max(spacing) / min(spacing) > ANISOTROPIC:
            longest = [axis for axis, mm in enumerate(spacing) if mm == max(spacing)]
            return longest[0] if len(longest) == 1 else None
    return None


def resample_nnunet(
    volume: Volume, spacing_mm: Sequence[float], *, interpolation: Interpolation = "cubic"
) -> Volume:
    """Resample an image nearly to a voxel size, as nnU-Net does.

    Args:
        volume: (I, J, K).
        spacing_mm: along i, j, k.
        interpolation: within the slices, or in all axes if none is apart.

    Raises:
        VolumeError: an axis would grow beyond 32767 voxels.
    """
    before_mm = header_spacing(volume.grid)
    # In this order of operations, as halves are rounded to even.
    shape = [round(old / new * n) for old, new, n in zip(before_mm, spacing_mm, volume.shape, strict=True)]
    if min(shape) < 1 or max(shape) > MAX_VOXELS_PER_AXIS:
        raise VolumeError(
            f"a spacing of {tuple(spacing_mm)} mm would turn {volume.grid!r} into {tuple(shape)} voxels; "
            f"wanted 1 to {MAX_VOXELS_PER_AXIS} along each axis"
        )
    scale = np.divide(volume.shape, shape)
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] * scale
    centre = volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    if tuple(shape) == volume.shape:
        return replace(volume, affine=affine)
    apart = separate_axis(before_mm, spacing_mm)
    positions = list(centred_positions(shape, volume.shape, scale))
    along = None if apart is None else positions[apart]
    if apart is not None:
        positions[apart] = np.arange(volume.shape[apart], dtype=np.float64)
    array = sample_parallel(volume.array, (positions[0], positions[1], positions[2]), interpolation, 0)
    if interpolation == "cubic":
        across = tuple(axis for axis in range(3) if axis != apart)
        low, high = (bound(volume.array, axis=across, keepdims=True) for bound in (np.min, np.max))
        array = np.clip(array, low, high)
    if apart is not None and along is not None:
        nearest = np.floor(along + 0.5).astype(np.intp).clip(0, volume.shape[apart] - 1)
        array = array.take(nearest, apart)
    return replace(volume, array=array, affine=affine)

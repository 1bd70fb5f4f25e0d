"""From what a header states, in LPS, to the one affine, in RAS: here and nowhere else."""

import numpy as np

from medseg.errors import OptionError, VolumeError
from medseg.geometry import parse_orientation
from medseg.volume import Affine
from medseg_itk.header import Header

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_ORTHONORMAL = 1e-3
_SMALLEST_SPACING_MM, _LARGEST_SPACING_MM = 0.05, 20.0


def place(header: Header, *, assume_orientation: str, any_spacing: bool) -> tuple[Affine, tuple[str, ...]]:
    """The affine (4, 4) to RAS mm, and what had to be decided.

    Args:
        header: passed the gate.
        assume_orientation: axis codes for a file that states none, such as ``"LPS"``.
        any_spacing: let implausible voxel sizes pass.

    Raises:
        VolumeError: no orientation or position, axes that are not perpendicular, implausible voxels.
        OptionError: ``assume_orientation`` is not axis codes.
    """
    spacing = np.array(header.spacing_mm)
    shown = " x ".join(f"{mm:.4g}" for mm in header.spacing_mm)
    if spacing.min() <= 0:
        raise VolumeError(f"the voxel size is {shown} mm; wanted three sizes greater than 0")
    plausible = spacing.min() >= _SMALLEST_SPACING_MM and spacing.max() <= _LARGEST_SPACING_MM
    if not plausible and not any_spacing:
        raise VolumeError(
            f"the voxel size is {shown} mm; wanted {_SMALLEST_SPACING_MM:g} to {_LARGEST_SPACING_MM:g} mm. "
            "Is the unit wrong? If it is right, use --allow spacing=any"
        )
    if header.axes_lps is None or header.origin_lps is None:
        return _assumed(header, assume_orientation)
    axes = np.array(header.axes_lps).T
    error = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if error > _ORTHONORMAL:
        raise VolumeError(
            f"its axes are not perpendicular unit vectors (off by {error:.3g}, wanted at most "
            f"{_ORTHONORMAL:g}), as after a gantry tilt. Resample it onto a straight grid where it was made"
        )
    affine: Affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = header.origin_lps
    return LPS_TO_RAS @ affine, ()


def _assumed(header: Header, orientation: str) -> tuple[Affine, tuple[str, ...]]:
    if not orientation:
        missing = "no orientation" if header.axes_lps is None else "no position"
        raise VolumeError(
            f"the file states {missing} in an anatomical space, so left and right, or where the first voxel "
            "is, are not known. If you know how it lies, use --allow assume-orientation=LPS (or RAS, LAS, "
            "...); it is then centred on 0"
        )
    try:
        axes = parse_orientation(orientation.upper())
    except VolumeError as error:
        raise OptionError(f"--allow assume-orientation={orientation}: {error}") from error
    affine: Affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(axes):
        affine[world, axis] = sign * header.spacing_mm[axis]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(header.shape) - 1) / 2)
    note = f"The file states no orientation; {orientation.upper()}, centred on 0, was assumed as you said."
    return affine, (note,)

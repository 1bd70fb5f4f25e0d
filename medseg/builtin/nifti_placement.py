"""Where a NIfTI file's voxels are: sform, qform, units, and what to do when they contradict.

Readers differ silently here: nibabel prefers the sform, SimpleITK sometimes the qform, and both
invent an orientation when there is none. This one refuses, unless the two agree or the user says
which is right.

Reference: NIfTI-1 header file, section "3D image (volume) orientation and location in space".
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from nibabel.quaternions import quat2mat

from medseg.builtin.nifti_header import Header
from medseg.errors import OptionError, VolumeError
from medseg.geometry import parse_orientation, resample_to
from medseg.volume import Affine, Grid, Volume, corner_distance_mm

Form = Literal["sform", "qform"]

AGREEMENT_MM = 0.1
LARGEST_SHEAR = 1e-3  # cosine between two axes
SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.05, 20.0
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
_UNIT_NAMES = {1: "metres", 2: "millimetres", 3: "micrometres"}
_ASSUME = "If you know it, use --allow assume-orientation=LAS (or RAS, LPS, ...)"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the voxels are, whether the axes are not perpendicular, and what had to be decided."""

    affine: Affine
    sheared: bool
    notes: tuple[str, ...]


def place(
    header: Header,
    *,
    orientation: Literal["", "sform", "qform"],
    assume_orientation: str,
    any_shear: bool,
    any_spacing: bool,
) -> Placement:
    """Find the one affine that the header states, in mm.

    Args:
        header: passed the gate.
        orientation: which of the two to believe where they disagree or one is broken.
        assume_orientation: axis codes for a file that states none, such as ``"LAS"``.
        any_shear: let axes pass that are not perpendicular, as of a tilted gantry.
        any_spacing: let implausible voxel sizes pass.

    Raises:
        VolumeError: no orientation, two that disagree, a broken or sheared one, or implausible voxels.
        OptionError: ``assume_orientation`` is not axis codes.
    """
    scale, unit, unit_notes = _unit(header)
    codes = {"sform": int(header.fields["sform_code"]), "qform": int(header.fields["qform_code"])}
    stated: list[Form] = [form for form in ("sform", "qform") if codes[form] > 0]
    if orientation and orientation not in stated:
        raise VolumeError(
            f"--allow orientation={orientation} was given, but {orientation}_code is {codes[orientation]}: "
            f"the file states {' and '.join(stated) or 'no orientation'}"
        )
    if not stated:
        affine, notes = _assumed(header, codes, assume_orientation, scale)
    elif orientation:
        affine, notes = _form(header, orientation, scale), _choice_notes(orientation, stated)
    elif len(stated) == 1:
        affine, notes = _form(header, stated[0], scale), ()
    else:
        affine, notes = _agreed(header, codes, scale), ()
    if stated:
        taken = orientation or stated[0]
        notes += _pixdim_notes(header, affine, scale) if taken == "sform" else _qfac_notes(header)
    if not any_spacing:
        _check_spacing(header, affine, unit)
    sheared = shear_of(affine) > LARGEST_SHEAR
    if sheared and not any_shear:
        raise _shear_refused(affine, stated)
    return Placement(affine=affine, sheared=sheared, notes=(*unit_notes, *notes))


def qform_affine(fields: Any) -> Affine:
    """The affine that quaternion, offset, pixdim and qfac stand for, in the file's unit.

    Args:
        fields: nibabel's header.

    Raises:
        VolumeError: pixdim or the quaternion cannot be used.
    """
    pixdim = fields["pixdim"][1:4].astype(np.float64)
    if not (np.isfinite(pixdim) & (pixdim > 0)).all():
        raise VolumeError(f"pixdim is {_numbers(pixdim)}; the qform wants three sizes greater than 0")
    qfac = float(fields["pixdim"][0])
    if not math.isfinite(qfac):
        raise VolumeError(f"pixdim[0] (qfac), which says where the slices go, is {qfac:g}; wanted 1 or -1")
    try:
        quaternion = fields.get_qform_quaternion()
    except ValueError:
        quaternion = np.array([np.nan])
    if not np.isfinite(quaternion).all():
        found = ", ".join(f"{float(fields[f'quatern_{axis}']):.4g}" for axis in "bcd")
        raise VolumeError(f"the qform's quaternion is {found}; wanted three numbers of length at most 1")
    affine: Affine = np.eye(4)
    affine[:3, :3] = quat2mat(quaternion) * pixdim  # type: ignore[no-untyped-call]  # nibabel's has no types
    if qfac < 0:  # 0 stands for 1
        affine[:3, 2] *= -1
    affine[:3, 3] = [float(fields[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def shear_of(affine: Affine) -> float:
    """Largest cosine between two of the affine's axes; 0 if they are perpendicular."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def straighten(volume: Volume) -> Volume:
    """Resample a sheared volume onto a perpendicular grid that holds all of it.

    The i axis and the i-j plane stay, so slices of a tilted gantry stay slices. What lies outside
    of the sheared volume gets its smallest value.
    """
    rotation, triangle = np.linalg.qr(volume.affine[:3, :3])
    signs = np.sign(np.diag(triangle))
    rotation, triangle = rotation * signs, triangle * signs[:, None]
    spacing = np.diag(triangle)
    corners = triangle @ np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1)
    low = corners.min(axis=1)
    # Rounding must not add a slice.
    i, j, k = (np.ceil((corners.max(axis=1) - low) / spacing - 1e-6) + 1).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = volume.affine[:3, 3] + rotation @ low
    straight, _ = resample_to(
        volume, Grid((i, j, k), affine), interpolation="linear", outside=float(volume.array.min())
    )
    return straight.with_notes(
        f"The sheared grid ({volume.grid!r}) was resampled onto a straight one; "
        "results are on the straight grid, not on the file's."
    )


def _shear_refused(affine: Affine, stated: list[Form]) -> VolumeError:
    shear = shear_of(affine)
    other = ", or --allow orientation=qform to take the qform, which has no shear" if len(stated) > 1 else ""
    return VolumeError(
        f"the sform is sheared: its axes are {np.degrees(np.arcsin(min(shear, 1.0))):.2f} degrees from "
        f"perpendicular (cosine {shear:.3g}, wanted at most {LARGEST_SHEAR:g}), as after a gantry tilt. "
        f"Use --allow shear=resample to resample it onto a straight grid{other}"
    )


def _unit(header: Header) -> tuple[float, int, tuple[str, ...]]:
    unit = int(header.fields["xyzt_units"]) & 7
    if unit not in _MM:
        return 1.0, unit, ("The unit of length is not stated; millimetres were assumed.",)
    if unit == 2:
        return 1.0, unit, ()
    return _MM[unit], unit, (f"Lengths in {_UNIT_NAMES[unit]} were converted to millimetres.",)


def _form(header: Header, form: Form, scale: float) -> Affine:
    """One of the two affines in mm, refused with the other one named if it is broken."""
    try:
        affine: Affine = header.fields.get_sform() if form == "sform" else qform_affine(header.fields)
        affine[:3] *= scale
        return Grid(header.shape, affine).affine
    except VolumeError as error:
        other = "qform" if form == "sform" else "sform"
        remedy = "use the original file"
        if int(header.fields[f"{other}_code"]) > 0:
            remedy = f"if its {other} can be trusted, use --allow orientation={other}"
        raise VolumeError(f"the {form} cannot be used: {error}; {remedy}") from error


def _agreed(header: Header, codes: dict[str, int], scale: float) -> Affine:
    """The sform, if the qform says the same as far as it can."""
    sform, qform = _form(header, "sform", scale), _form(header, "qform", scale)
    # A qform cannot hold shear: it agrees with a sheared sform if it is its nearest rotation.
    expected = sform if shear_of(sform) <= LARGEST_SHEAR else _without_shear(sform)
    distance = corner_distance_mm(expected, qform, header.shape)
    axes = Grid(header.shape, sform).orientation, Grid(header.shape, qform).orientation
    # One voxel has no corners that a flip could move, so the axes are compared as well.
    if distance <= AGREEMENT_MM and axes[0] == axes[1]:
        return sform
    raise VolumeError(
        f"sform (code {codes['sform']}, {axes[0]}) and qform (code {codes['qform']}, {axes[1]}) disagree by "
        f"{distance:.4g} mm at a corner; wanted at most {AGREEMENT_MM:g} mm and the same axes. If you know "
        "which is right, use --allow orientation=sform or --allow orientation=qform"
    )


def _without_shear(affine: Affine) -> Affine:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    u, _, vt = np.linalg.svd(affine[:3, :3] / lengths)
    straight = affine.copy()
    straight[:3, :3] = u @ vt * lengths
    return straight


def _assumed(
    header: Header, codes: dict[str, int], orientation: str, scale: float
) -> tuple[Affine, tuple[str, ...]]:
    if not orientation:
        raise VolumeError(
            f"no orientation: sform_code is {codes['sform']} and qform_code {codes['qform']}, so left and "
            f"right are not known. {_ASSUME}"
        )
    try:
        axes = parse_orientation(orientation.upper())
    except VolumeError as error:
        raise OptionError(f"--allow assume-orientation={orientation}: {error}") from error
    pixdim = header.fields["pixdim"][1:4].astype(np.float64) * scale
    if not (np.isfinite(pixdim) & (pixdim > 0)).all():
        raise VolumeError(f"pixdim is {_numbers(pixdim)}; wanted three voxel sizes greater than 0")
    affine: Affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(axes):
        affine[world, axis] = sign * pixdim[axis]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(header.shape) - 1) / 2)
    note = f"The file states no orientation; {orientation.upper()}, centred on 0, was assumed as you said."
    return affine, (note,)


def _choice_notes(orientation: Form, stated: list[Form]) -> tuple[str, ...]:
    return (
        (f"sform and qform are both stated; the {orientation} was taken as you said.",)
        if len(stated) > 1
        else ()
    )


def _pixdim_notes(header: Header, affine: Affine, scale: float) -> tuple[str, ...]:
    pixdim = header.fields["pixdim"][1:4].astype(np.float64) * scale
    spacing = np.array(Grid(header.shape, affine).spacing_mm)
    if np.allclose(pixdim, spacing, rtol=0.01):
        return ()
    return (f"pixdim says {_numbers(pixdim)} mm, the sform {_numbers(spacing)} mm; the sform was taken.",)


def _qfac_notes(header: Header) -> tuple[str, ...]:
    qfac = float(header.fields["pixdim"][0])
    if qfac in (-1, 1):
        return ()
    return (f"pixdim[0] (qfac) is {qfac:g}, not 1 or -1; its sign was taken, 0 as 1, as the standard says.",)


def _check_spacing(header: Header, affine: Affine, unit: int) -> None:
    spacing = Grid(header.shape, affine).spacing_mm
    smallest = 0.0 if unit == 3 else SMALLEST_SPACING_MM  # micrometres are meant by who declares them
    if min(spacing) < smallest or max(spacing) > LARGEST_SPACING_MM:
        raise VolumeError(
            f"the voxel size is {_numbers(spacing)} mm; wanted {SMALLEST_SPACING_MM:g} to "
            f"{LARGEST_SPACING_MM:g} mm. Is the unit wrong? If it is right, use --allow spacing=any"
        )


def _numbers(values: "np.typing.ArrayLike") -> str:
    return " x ".join(f"{value:.4g}" for value in np.asarray(values).tolist())

"""Slices as a grid: sorted along their normal, evenly spaced, one above the other; or not, and why.

Distances are measured from ImagePositionPatient alone. SliceThickness, SpacingBetweenSlices,
SliceLocation, InstanceNumber and file names say nothing about where a slice is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import VolumeError
from medseg.volume import Affine
from medseg_dicom.header import Frame

Array = NDArray[np.float64]

SAME_PLACE_MM = 0.01
GAP_TOLERANCE = 0.02
"""Deviation of one gap from the median gap, as a fraction of it: what scanners' rounding explains."""
DRIFT_TOLERANCE = 0.05
"""Distance of a slice from its place on the even grid, as a fraction of the gap: small deviations
that all go one way add up."""
SIDEWAYS_TOLERANCE = 0.25
"""Pixels that a slice may stand aside from the others."""
_RESAMPLE = "use --allow gaps=resample to interpolate evenly spaced slices"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Frames in the order of the grid, and the grid.

    Args:
        frames: sorted along the normal, which is the cross product of row and column direction, so
            that (i, j, k) is right-handed.
        offsets_mm: (N,) of each frame along the normal, from the first.
        targets_mm: (K,) of the slices of the grid; equal to the offsets unless gaps are filled.
        gap_mm: distance of the grid's slices; of a single one its thickness.
        affine: (4, 4) of the grid, RAS mm; sheared if ``shear`` is not 0.
        shear: pixels per slice by which the stack leans along i and j.
        notes: what had to be decided.
    """

    frames: tuple[Frame, ...]
    offsets_mm: Array
    targets_mm: Array
    gap_mm: float
    affine: Affine
    shear: tuple[float, float]
    notes: tuple[str, ...]


def offsets_along_normal(frames: Sequence[Frame]) -> Array:
    """Where frames are along the normal of the first, in mm."""
    positions = np.array([frame.position for frame in frames])
    return positions @ normal_of(frames[0])


def normal_of(frame: Frame) -> Array:
    """Unit vector along which right-handed slices follow each other, LPS."""
    normal = np.cross(frame.along_row, frame.along_column)
    return np.asarray(normal / np.linalg.norm(normal))


def is_even(offsets_mm: Array) -> bool:
    """Whether positions along the normal, in any order, are evenly spaced and all different."""
    ordered = np.sort(offsets_mm)
    gaps = np.diff(ordered)
    return len(gaps) > 0 and bool(gaps.min() >= SAME_PLACE_MM) and not _uneven(ordered)


def stack_frames(
    frames: Sequence[Frame], *, fill_gaps: bool, straighten: bool, thickness_mm: float | None = None
) -> Stack:
    """Put frames of one orientation and one pixel spacing on a grid.

    Args:
        frames: in any order.
        fill_gaps: interpolate where slices are missing or uneven.
        straighten: accept a stack that leans, as of a tilted gantry.
        thickness_mm: accept a single slice, and let it be as thick as this.

    Raises:
        VolumeError: one slice only, two at one place, uneven gaps, or a stack that leans.
    """
    if len(frames) < 2:
        if thickness_mm is None:
            raise VolumeError(
                f"a single slice ({frames[0].name}); a volume needs at least two. Give the folder of the "
                "series, or use --allow single=thickness to read one that is as thick as its SliceThickness"
            )
        return _single(frames[0], thickness_mm)
    offsets = offsets_along_normal(frames)
    order = np.argsort(offsets, kind="stable")
    ordered = tuple(frames[index] for index in order)
    offsets = offsets[order] - offsets[order[0]]
    _check_places(ordered, offsets)
    uneven = _uneven(offsets)
    if uneven and not fill_gaps:
        raise VolumeError(_describe_gaps(ordered, offsets))
    targets = _even_targets(offsets) if uneven else offsets
    leaning, sideways = _lean(ordered, offsets)
    if leaning and not straighten:
        raise VolumeError(_describe_tilt(ordered, offsets, sideways))
    step = offsets[-1] / (len(targets) - 1)
    slope = sideways / offsets[-1] * step if leaning else np.zeros(2)  # mm per slice along row and column
    indices = offsets / step if uneven else np.arange(len(ordered), dtype=np.float64)
    first = ordered[0]
    spacing = np.array([first.column_spacing_mm, first.row_spacing_mm])
    return Stack(
        frames=ordered,
        offsets_mm=offsets,
        targets_mm=targets,
        gap_mm=float(step),
        affine=_affine(ordered, indices, step, slope),
        shear=(float(slope[0] / spacing[0]), float(slope[1] / spacing[1])),
        notes=_notes(offsets, targets, sideways, uneven=uneven, leaning=leaning),
    )


def _single(frame: Frame, thickness_mm: float) -> Stack:
    here = np.zeros(1)
    return Stack(
        frames=(frame,),
        offsets_mm=here,
        targets_mm=here,
        gap_mm=thickness_mm,
        affine=_affine((frame,), here, thickness_mm, np.zeros(2)),
        shear=(0.0, 0.0),
        notes=(
            f"A single slice, {thickness_mm:.4g} mm thick by its SliceThickness, was read as you allowed.",
        ),
    )


def _check_places(frames: Sequence[Frame], offsets: Array) -> None:
    gaps = np.diff(offsets)
    if gaps.min() >= SAME_PLACE_MM:
        return
    where = int(np.argmin(gaps))
    several = int((gaps < SAME_PLACE_MM).sum()) + 1
    x, y, z = frames[where].position
    raise VolumeError(
        f"{several} of {len(frames)} images share their place with another: {frames[where].name} and "
        f"{frames[where + 1].name} are both at ImagePositionPatient (0020,0032) {x:g}\\{y:g}\\{z:g}, and no "
        "tag that medseg knows tells them apart. Remove those that do not belong"
    )


def _uneven(offsets: Array) -> bool:
    gaps = np.diff(offsets)
    usual = float(np.median(gaps))
    even = np.linspace(offsets[0], offsets[-1], len(offsets))
    too_far = np.abs(offsets - even).max() > max(DRIFT_TOLERANCE * usual, SAME_PLACE_MM)
    return bool(np.abs(gaps - usual).max() > max(GAP_TOLERANCE * usual, SAME_PLACE_MM) or too_far)


def _even_targets(offsets: Array) -> Array:
    usual = float(np.median(np.diff(offsets)))
    count = round(offsets[-1] / usual) + 1
    if count > 2 * len(offsets):
        raise VolumeError(
            f"more slices are missing than there are: {len(offsets)} slices over {offsets[-1]:.4g} mm, "
            f"usually {usual:.4g} mm apart; that many are not made up. Find the missing files"
        )
    return np.linspace(0, offsets[-1], count)


def _lean(frames: Sequence[Frame], offsets: Array) -> tuple[bool, Array]:
    """Whether the stack leans, and by how many mm along row and column from first to last slice.

    Raises:
        VolumeError: a slice stands aside from the line that the others follow.
    """
    first = frames[0]
    axes = np.array([first.along_row, first.along_column])
    sideways = (np.array([frame.position for frame in frames]) - first.position) @ axes.T
    fit = np.polynomial.polynomial.polyfit(offsets, sideways, 1)
    limit = SIDEWAYS_TOLERANCE * min(first.row_spacing_mm, first.column_spacing_mm)
    aside = np.linalg.norm(sideways - fit[0] - np.outer(offsets, fit[1]), axis=1)
    worst = int(np.argmax(aside))
    if aside[worst] > limit:
        raise VolumeError(
            f"{frames[worst].name} stands {aside[worst]:.3g} mm beside the line of the other slices (tag "
            f"ImagePositionPatient (0020,0032)); at most {limit:.3g} mm, a quarter of a pixel, are accepted. "
            "Remove what does not belong to the series"
        )
    total = fit[1] * offsets[-1]
    return bool(np.linalg.norm(total) > limit), total


def _affine(frames: Sequence[Frame], indices: Array, step: float, slope: Array) -> Affine:
    """The grid on which the frames lie best, from LPS to RAS."""
    first = frames[0]
    row, column = np.array(first.along_row), np.array(first.along_column)
    affine: Affine = np.eye(4)
    affine[:3, 0] = row * first.column_spacing_mm
    affine[:3, 1] = column * first.row_spacing_mm
    affine[:3, 2] = normal_of(first) * step + row * slope[0] + column * slope[1]
    positions = np.array([frame.position for frame in frames])
    affine[:3, 3] = (positions - np.outer(indices, affine[:3, 2])).mean(axis=0)
    affine[:2] *= -1  # DICOM's x and y grow to the left and to the back, medseg's to the right and front
    return affine


def _notes(
    offsets: Array, targets: Array, sideways: Array, *, uneven: bool, leaning: bool
) -> tuple[str, ...]:
    notes: list[str] = []
    if uneven:
        notes.append(
            f"Uneven gaps were filled as you allowed: {len(targets)} slices every {targets[1]:.4g} mm were "
            f"interpolated from {len(offsets)}."
        )
    else:
        deviation = np.abs(offsets - np.linspace(0, offsets[-1], len(offsets))).max()
        if deviation > 1e-3:
            notes.append(f"Slices deviate by up to {deviation:.2g} mm from even spacing; within tolerance.")
    drift = float(np.linalg.norm(sideways))
    if leaning:
        notes.append(
            f"The stack leans by {np.degrees(np.arctan2(drift, offsets[-1])):.1f} degrees (tilted gantry); "
            "it was resampled onto a straight grid as you allowed, and results are on that grid."
        )
    elif drift > 1e-3:
        notes.append(f"The stack leans by {drift:.2g} mm over its length; within tolerance.")
    return tuple(notes)


def _describe_gaps(frames: Sequence[Frame], offsets: Array) -> str:
    gaps = np.diff(offsets)
    usual = float(np.median(gaps))
    wide = [int(index) for index in np.flatnonzero(gaps > usual * 1.5)]
    missing = sum(round(gaps[index] / usual) - 1 for index in wide)
    whole = all(abs(gap / usual - round(gap / usual)) < GAP_TOLERANCE * 2 for gap in gaps)
    if whole and missing and len(wide) <= 3:
        where = "; ".join(
            f"a gap of {gaps[index]:.4g} mm between {frames[index].name} and {frames[index + 1].name}"
            for index in wide
        )
        return (
            f"{where}, where {usual:.4g} mm is usual (tag ImagePositionPatient (0020,0032)); {missing} "
            f"slice{'s are' if missing > 1 else ' is'} missing. Find them, or {_RESAMPLE}"
        )
    counts: Counter[Any] = Counter(float(f"{gap:.4g}") for gap in gaps)
    listed = ", ".join(f"{gap:g} mm ({times} times)" for gap, times in counts.most_common(6))
    listed += ", ..." if len(counts) > 6 else ""
    return (
        f"the gaps between slices are uneven: {listed} (tag ImagePositionPatient (0020,0032)); one gap may "
        f"deviate by {GAP_TOLERANCE:.0%} of the usual {usual:.4g} mm. Find what is missing or does not "
        f"belong, or {_RESAMPLE}"
    )


def _describe_tilt(frames: Sequence[Frame], offsets: Array, sideways: Array) -> str:
    drift = float(np.linalg.norm(sideways))
    first = frames[0]
    limit = SIDEWAYS_TOLERANCE * min(first.row_spacing_mm, first.column_spacing_mm)
    return (
        f"tilt {np.degrees(np.arctan2(drift, offsets[-1])):.1f} degrees: from {first.name} to "
        f"{frames[-1].name} the slices move {drift:.4g} mm sideways (tags ImagePositionPatient, "
        f"ImageOrientationPatient (0020,0032-0037)); at most {limit:.3g} mm, a quarter of a pixel, are "
        "accepted. Use --allow tilt=resample to resample onto a straight grid"
    )

"""The header gate: what must agree between slices, and be known of each, before a voxel is read."""

from collections.abc import Callable, Sequence

import numpy as np

from medseg.errors import VolumeError
from medseg_dicom.header import Frame
from medseg_dicom.instance import thickness_of
from medseg_dicom.placement import ORIENTATION_TOLERANCE
from medseg_dicom.split import Series
from medseg_dicom.stack import Stack, stack_frames
from medseg_dicom.syntaxes import check_codec
from medseg_dicom.values import named

SPACING_TOLERANCE = 1e-4
"""Relative; more than that is no rounding."""
_COLOURS = {"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420"}
_MODALITIES = ("CT", "MR", "PT")
_RESCALED = ("CT", "PT")
"""Modalities whose stored values mean nothing without slope and intercept."""


def check_series(
    series: Series,
    *,
    fill_gaps: bool = False,
    straighten: bool = False,
    single: bool = False,
    time_point: int = 0,
) -> Stack:
    """Check a series and put it on its grid; the pixels are not touched.

    Args:
        series: from ``split_contents``.
        fill_gaps, straighten: as in ``stack_frames``.
        single: accept a single slice that says how thick it is.
        time_point: which one, from 1; 0 if none was chosen.

    Raises:
        VolumeError: the series is refused.
        ResourceError: the package that decodes its pixels is not installed.
    """
    if series.broken:
        first, *others = series.broken
        more = f" (as well as {len(others)} more)" if others else ""
        raise VolumeError(f"file {first.name}: {first.reason}{more}")
    frames = _at_time(series, time_point)
    for frame in frames:
        _check_frame(frame)
    _check_agreement(frames)
    _check_rescale(frames)
    for syntax in {frame.instance.transfer_syntax for frame in frames}:
        check_codec(syntax)
    thickness = thickness_of(frames[0]) if single and len(frames) == 1 else None
    return stack_frames(frames, fill_gaps=fill_gaps, straighten=straighten, thickness_mm=thickness)


def _at_time(series: Series, time_point: int) -> Sequence[Frame]:
    count = len(series.time_points)
    if count > 1 and not time_point:
        raise VolumeError(
            f"{count} time points, {len(series.frames)} images; wanted one volume. Use --allow timepoint=1 "
            f"(to {count})"
        )
    if time_point > count or time_point < 0:
        raise VolumeError(f"--allow timepoint={time_point} was given, but there are {count} time points")
    return series.time_points[max(time_point, 1) - 1]


def _check_frame(frame: Frame) -> None:
    instance = frame.instance
    photometric = instance.storage.photometric
    if instance.storage.samples != 1 or photometric in _COLOURS:
        shown = photometric if photometric in _COLOURS else "not MONOCHROME2"
        raise VolumeError(
            f"file {instance.source.name} is a colour image: {named('PhotometricInterpretation')} is "
            f"{shown}, {named('SamplesPerPixel')} is {instance.storage.samples}; wanted grey values. Remove "
            "it, or use the original series"
        )
    if photometric != "MONOCHROME2":
        shown = photometric if photometric == "MONOCHROME1" else "unknown"
        raise VolumeError(
            f"file {instance.source.name}: {named('PhotometricInterpretation')} is {shown}; wanted "
            "MONOCHROME2. Programs disagree about the values of inverted CT, MR and PET: have it exported as "
            "MONOCHROME2"
        )
    if instance.modality not in _MODALITIES:
        raise VolumeError(
            f"file {instance.source.name}: {named('Modality')} is not {', '.join(_MODALITIES)}, which are "
            "what medseg-dicom reads. Choose another series"
        )


def _check_agreement(frames: Sequence[Frame]) -> None:
    """Everything that one volume has only one of."""
    _agree(frames, "Rows and Columns (0028,0010-0011)", _same(_size), _shown_size)
    _agree(frames, named("StudyInstanceUID"), _same(lambda f: f.instance.study_uid))
    _agree(frames, named("SOPClassUID"), _same(lambda f: f.instance.sop_class))
    _agree(frames, named("Modality"), _same(lambda f: f.instance.modality), lambda f: f.instance.modality)
    _agree(frames, named("PixelSpacing"), _same_spacing, _shown_spacing)
    _agree(frames, named("ImageOrientationPatient"), _same_orientation, _shown_orientation)
    _agree(
        frames, named("PixelRepresentation"), _same(_signed), lambda f: str(int(f.instance.storage.signed))
    )
    _agree(frames, named("FrameOfReferenceUID"), _same(lambda f: f.instance.frame_of_reference))
    _agree(frames, named("PixelPaddingValue"), _same(lambda f: f.instance.padding), _shown_padding)
    _agree(frames, "the unit of the values (RescaleType or Units)", _same(lambda f: f.instance.unit))


def _check_rescale(frames: Sequence[Frame]) -> None:
    without = [frame for frame in frames if frame.slope is None]
    tags = f"{named('RescaleSlope')} and RescaleIntercept (0028,1052)"
    if without and len(without) < len(frames):
        raise VolumeError(
            f"{tags} are missing in {without[0].name} ({len(without)} of {len(frames)} images), so its "
            "values cannot be compared with the others'. Export the series again"
        )
    if without and frames[0].instance.modality in _RESCALED:
        raise VolumeError(
            f"{tags} are missing in every image of a {frames[0].instance.modality} series, so the stored "
            "values have no known unit. Use the original series"
        )


def _agree(
    frames: Sequence[Frame],
    what: str,
    same: Callable[[Frame, Frame], bool],
    shown: Callable[[Frame], str] | None = None,
) -> None:
    """Compare every frame with one that most agree with.

    Raises:
        VolumeError: one differs; both values are shown if they are numbers or known words.
    """
    usual = max(frames[:3], key=lambda reference: sum(same(reference, frame) for frame in frames))
    odd = [frame for frame in frames if not same(usual, frame)]
    if odd:
        values = f": {shown(usual)} in {usual.name}, {shown(odd[0])} in {odd[0].name}" if shown else ""
        raise VolumeError(
            f"{what} differs between slices{values or f': {odd[0].name} is not like {usual.name}'} "
            f"({len(odd)} of {len(frames)} images). Remove what does not belong to the series"
        )


def _same(part: Callable[[Frame], object]) -> Callable[[Frame, Frame], bool]:
    return lambda a, b: part(a) == part(b)


def _size(frame: Frame) -> tuple[int, int, int]:
    storage = frame.instance.storage
    return storage.rows, storage.columns, storage.bits_allocated


def _signed(frame: Frame) -> bool:
    return frame.instance.storage.signed


def _spacing(frame: Frame) -> tuple[float, float]:
    return frame.row_spacing_mm, frame.column_spacing_mm


def _same_spacing(a: Frame, b: Frame) -> bool:
    return _spacing(a) == _spacing(b) or bool(
        np.allclose(_spacing(a), _spacing(b), rtol=SPACING_TOLERANCE, atol=0)
    )


def _orientation(frame: Frame) -> tuple[float, ...]:
    return (*frame.along_row, *frame.along_column)


def _same_orientation(a: Frame, b: Frame) -> bool:
    pairs = zip(_orientation(a), _orientation(b), strict=True)
    return all(abs(x - y) <= ORIENTATION_TOLERANCE for x, y in pairs)


def _shown_size(frame: Frame) -> str:
    storage = frame.instance.storage
    return f"{storage.rows} x {storage.columns} of {storage.bits_allocated} bits"


def _shown_spacing(frame: Frame) -> str:
    return "\\".join(f"{value:g}" for value in _spacing(frame))


def _shown_orientation(frame: Frame) -> str:
    return "\\".join(f"{value:g}" for value in _orientation(frame))


def _shown_padding(frame: Frame) -> str:
    padding = frame.instance.padding
    return "none" if padding is None else str(padding[0])

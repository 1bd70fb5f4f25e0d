"""Read one DICOM series as a volume: look at every header, refuse what is doubtful, then read the pixels."""

from itertools import islice
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.volume import Affine, Kind, Volume
from medseg_dicom.contents import read_contents
from medseg_dicom.dataset import looks_like_dicom
from medseg_dicom.gate import check_series
from medseg_dicom.listing import choose_series, set_aside_notes
from medseg_dicom.pet import SUV, suv_factor
from medseg_dicom.quiet import silenced
from medseg_dicom.remarks import remarks_on_headers, remarks_on_values, unit_of
from medseg_dicom.repair import fill_gaps, straighten
from medseg_dicom.source import Source, files_below
from medseg_dicom.split import split_contents
from medseg_dicom.stack import Stack
from medseg_dicom.voxels import AIR, read_values

_SNIFFED = 50


def read(
    path: str | Path,
    *,
    kind: Kind = "image",
    series: str = "",
    timepoint: int = 0,
    gaps: Literal["", "resample"] = "",
    tilt: Literal["", "resample"] = "",
    single: Literal["", "thickness"] = "",
    units: Literal["", "suv"] = "",
    threads: int = 0,
) -> Volume:
    """Read one series of CT, MR or PET.

    The axes are (i, j, k) = (column index, row index, slice); slices follow the cross product of the
    first two, so that the grid is right-handed whatever the order in which it was acquired.

    Args:
        path: a folder with everything below it, a file, a zip archive, or a DICOMDIR.
        kind: ``image``; DICOM has no label maps of this kind.
        series: which one, if there are several: its number in the list, or the end of its UID.
        timepoint: which one, from 1, if there are several.
        gaps: ``"resample"`` interpolates missing and unevenly spaced slices.
        tilt: ``"resample"`` brings the stack of a tilted gantry onto a straight grid.
        single: ``"thickness"`` reads a single slice, as thick as its SliceThickness.
        units: ``"suv"`` gives PET as standardised uptake value by body weight.
        threads: how many files are read at once; 0: as many as suit the machine.

    Returns:
        The volume: int16 where slopes and intercepts are whole numbers and the values fit, else float32.

    Raises:
        VolumeError: the series is refused; the message begins with the path's last name.
        OptionError: ``threads`` is negative.
        ResourceError: not enough memory, or a codec that is not installed.
    """
    path = Path(path)
    try:
        with silenced():
            return _read(
                path,
                kind=kind,
                series=series,
                timepoint=timepoint,
                gaps=bool(gaps),
                tilt=bool(tilt),
                single=bool(single),
                suv=units == "suv",
                threads=threads,
            )
    except (VolumeError, OptionError, ResourceError) as error:
        raise type(error)(f"{path.name}: {error}") from error


def sniff(path: str | Path) -> bool:
    """Whether a file, or one of the first files of a folder, begins like DICOM."""
    path = Path(path)
    if path.is_file():
        return looks_like_dicom(Source.of_file(path))
    return any(looks_like_dicom(Source.of_file(file)) for file in islice(files_below(path), _SNIFFED))


def _read(
    path: Path,
    *,
    kind: Kind,
    series: str,
    timepoint: int,
    gaps: bool,
    tilt: bool,
    single: bool,
    suv: bool,
    threads: int,
) -> Volume:
    if kind != "image":
        raise VolumeError(
            "this reader gives images, not label maps; convert the segmentation to NIfTI and read that"
        )
    if threads < 0:
        raise OptionError(
            f"threads is {threads}; wanted a number of threads, or 0 for as many as suit the machine"
        )
    contents = read_contents(path)
    chosen, choice_notes = choose_series(contents, split_contents(contents), series)
    stack = check_series(chosen, fill_gaps=gaps, straighten=tilt, single=single, time_point=timepoint)
    factor, unit_notes = suv_factor(stack.frames) if suv else (1.0, ())
    slices, affine, padded = _slices(stack, factor, threads)
    notes = (
        *remarks_on_headers(stack.frames),
        *unit_notes,
        *choice_notes,
        *((f"Time point {timepoint} of {len(chosen.time_points)}.",) if timepoint else ()),
        *set_aside_notes(contents),
        *stack.notes,
        *remarks_on_values(slices, stack.frames[0].instance, padded=padded),
    )
    instance = stack.frames[0].instance
    unit = SUV if suv else unit_of(instance)
    return Volume(slices.T, affine, "image", notes, modality=instance.modality, unit=unit)


def _slices(stack: Stack, factor: float, threads: int) -> tuple[NDArray[Any], Affine, int]:
    """Values (K, R, C) on the grid, its affine, and how many voxels were padding."""
    try:
        slices, padded = read_values(stack.frames, factor=factor, threads=threads)
        slices = fill_gaps(slices, stack)
        if not any(stack.shear):
            return slices, stack.affine, padded
        air = float(AIR[stack.frames[0].instance.modality])
        straight, affine = straighten(slices, stack, outside=air)
    except MemoryError as error:
        storage = stack.frames[0].instance.storage
        size = storage.rows * storage.columns * len(stack.targets_mm) * 4
        raise ResourceError(
            f"its voxels need up to {size / 2**30:.1f} GiB of memory; use a machine with more"
        ) from error
    return straight, affine, padded

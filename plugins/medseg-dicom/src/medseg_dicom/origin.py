"""The series that a result came from, found again, with all that an object derived from it refers to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from medseg.errors import ResourceError, VolumeError
from medseg.plugin import Result
from medseg_dicom.contents import read_contents
from medseg_dicom.gate import check_series
from medseg_dicom.header import Frame, Instance
from medseg_dicom.listing import choose_series
from medseg_dicom.quiet import silenced
from medseg_dicom.split import split_contents
from medseg_dicom.study import read_study
from medseg_dicom.values import named

_REMEDY = "DICOM objects refer to the images of a DICOM series: segment its folder, file or archive"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The images that were segmented.

    Args:
        frames: in the order of the grid, as they were acquired: never interpolated.
        gap_mm: the distance of the grid's slices, which is that of the frames but for rounding and gaps.
        study: patient and study, from ``read_study``.
    """

    frames: tuple[Frame, ...]
    gap_mm: float
    study: Dataset

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The files of the frames, each once."""
        return tuple({frame.instance.sop_uid: frame.instance for frame in self.frames}.values())


def find_origin(result: Result) -> Origin:
    """Find the series of a result again, with the choices that it was read with.

    Raises:
        VolumeError: the result does not come from DICOM, or its series has no frame of reference.
        ResourceError: the files are no longer there.
    """
    path = result.source
    if path is None:
        raise VolumeError(f"this result was made from a volume in memory. {_REMEDY}")
    if not path.exists():
        raise ResourceError(f"{path.name} is no longer where it was read from; put it back and try again")
    try:
        with silenced():
            return _find(path, result.read_options)
    except (VolumeError, ResourceError) as error:
        raise type(error)(f"{path.name}: {error}") from error


def _find(path: Path, options: Mapping[str, Any]) -> Origin:
    contents = read_contents(path)
    if not contents.frames and not contents.broken:
        raise VolumeError(f"it is not DICOM. {_REMEDY}")
    chosen, _ = choose_series(contents, split_contents(contents), str(options.get("series", "")))
    stack = check_series(
        chosen,
        fill_gaps=bool(options.get("gaps")),
        straighten=bool(options.get("tilt")),
        single=bool(options.get("single")),
        time_point=int(options.get("timepoint", 0)),
    )
    first = stack.frames[0].instance
    if not first.frame_of_reference:
        raise VolumeError(
            f"{named('FrameOfReferenceUID')} is missing, which objects that lie in space need. Export the "
            "series again"
        )
    return Origin(
        frames=stack.frames,
        gap_mm=stack.gap_mm,
        study=read_study(first.source),
    )

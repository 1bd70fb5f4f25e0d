"""Where one frame lies and how its values are rescaled, checked number by number.

Reference: DICOM PS3.3, C.7.6.2.1.1 (image position and orientation), C.11.1.1.2 (rescale).
"""

from collections.abc import Hashable, Mapping

import numpy as np
from numpy.typing import NDArray

from medseg.errors import VolumeError
from medseg_dicom.header import Frame, Instance
from medseg_dicom.values import Elements, named

ORIENTATION_TOLERANCE = 1e-3
"""Of a direction cosine: files round them to six digits or more."""


def place_frame(
    instance: Instance,
    number: int,
    *,
    position: Elements,
    orientation: Elements,
    measures: Elements,
    rescale: Elements,
    marks: Mapping[str, Hashable],
) -> Frame:
    """Make a frame from the four groups of tags that say where it is and what its values mean.

    Args:
        instance: the file.
        number: of the frame, from 0.
        position, orientation, measures, rescale: where each group is found; one and the same data
            set in a classic file, one functional group each in an enhanced one.
        marks: as in ``Frame``.

    Raises:
        VolumeError: a value is missing or is no usable number.
    """
    x, y, z = _needed(position, "ImagePositionPatient", 3)
    cosines = _needed(orientation, "ImageOrientationPatient", 6)
    row_spacing, column_spacing = _needed(measures, "PixelSpacing", 2)
    _check_orientation(np.array(cosines).reshape(2, 3))
    if min(row_spacing, column_spacing) <= 0:
        raise VolumeError(
            f"{named('PixelSpacing')} is {row_spacing:g}\\{column_spacing:g}; wanted two sizes above 0"
        )
    slope, intercept = rescale.number("RescaleSlope"), rescale.number("RescaleIntercept")
    if slope == 0:
        raise VolumeError(
            f"{named('RescaleSlope')} is 0, which makes every value the same; wanted another. Export it again"
        )
    if (slope is None) != (intercept is None):
        missing, present = ("RescaleSlope", "RescaleIntercept")[:: 1 if slope is None else -1]
        raise VolumeError(f"{named(missing)} is missing though {named(present)} is there; export it again")
    return Frame(
        instance=instance,
        number=number,
        position=(x, y, z),
        along_row=(cosines[0], cosines[1], cosines[2]),
        along_column=(cosines[3], cosines[4], cosines[5]),
        row_spacing_mm=row_spacing,
        column_spacing_mm=column_spacing,
        slope=slope,
        intercept=intercept,
        marks=marks,
    )


def _needed(elements: Elements, keyword: str, count: int) -> tuple[float, ...]:
    values = elements.numbers(keyword, count)
    if values is None:
        raise VolumeError(
            f"no geometry: {named(keyword)} is missing, and where the voxels are is not guessed. Use the "
            "original images, not a copy that lost it"
        )
    return values


def _check_orientation(axes: NDArray[np.float64]) -> None:
    """Two perpendicular unit vectors, or a refusal."""
    if np.abs(axes @ axes.T - np.eye(2)).max() > ORIENTATION_TOLERANCE:
        found = "\\".join(f"{value:g}" for value in axes.flat)
        raise VolumeError(
            f"{named('ImageOrientationPatient')} is {found}; wanted two perpendicular vectors of length 1 "
            f"(to within {ORIENTATION_TOLERANCE:g}). Export the series again"
        )

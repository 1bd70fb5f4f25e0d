"""A label map on the images that were segmented, whatever grid they were brought to in between."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import VolumeError
from medseg.plugin import Result
from medseg_dicom.header import Frame

Numbers = NDArray[np.unsignedinteger[Any]]
"""Of classes: 0 for the background."""


def label_frames(result: Result, frames: Sequence[Frame]) -> Numbers:
    """Number every pixel of every frame by the class whose voxel is nearest in the world.

    The classes are numbered 1, 2, ... in their order, without the background, which is 0 as is all
    that lies outside of the label map. Where the map is on the frames' own grid, each voxel comes back
    as it was.

    Args:
        result: its label map and classes.
        frames: N, of one size.

    Returns:
        (N, R, C): frames, rows, columns.

    Raises:
        VolumeError: the map holds a label that is no class, or lies elsewhere than the frames.
    """
    labels = result.labels
    numbers = _numbers(result)[labels.array]
    to_index = np.linalg.inv(labels.affine)
    storage = frames[0].instance.storage
    slices = np.empty((len(frames), storage.rows, storage.columns), numbers.dtype)
    for frame, pixels in zip(frames, slices, strict=True):
        matrix = to_index @ _pixel_to_ras(frame)
        ndimage.affine_transform(
            numbers, matrix[:3, :3], matrix[:3, 3], (1, *pixels.shape), pixels[None], 0, "grid-constant"
        )
    if numbers.any() and not slices.any():
        raise VolumeError(
            "nothing of the label map lies on the images of the series; they are not what was segmented"
        )
    return slices


def _numbers(result: Result) -> Numbers:
    """The number of each label value, as a table."""
    known = [label.value for label in result.classes if label.value != 0]
    present = np.unique(result.labels.array)
    if unknown := sorted(set(present.tolist()) - {0, *known}):
        raise VolumeError(f"the label map holds label {unknown[0]}, which {result.model} does not have")
    table: Numbers = np.zeros(max([0, *known]) + 1, np.uint8 if len(known) < 256 else np.uint16)
    table[known] = range(1, len(known) + 1)
    return table


def _pixel_to_ras(frame: Frame) -> NDArray[np.float64]:
    """(4, 4): (0, row, column, 1) to RAS+ mm."""
    matrix = np.zeros((4, 4))
    matrix[:3, 1] = np.multiply(frame.along_column, frame.row_spacing_mm)
    matrix[:3, 2] = np.multiply(frame.along_row, frame.column_spacing_mm)
    matrix[:3, 3] = frame.position
    matrix[:2] *= -1  # from LPS
    matrix[3, 3] = 1
    return matrix

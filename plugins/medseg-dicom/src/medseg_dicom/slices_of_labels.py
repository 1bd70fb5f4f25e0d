"""A label map, or probabilities, on the images that were segmented, whatever grid they had in between."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import VolumeError
from medseg.plugin import Result
from medseg.volume import Affine
from medseg_dicom.header import Frame

Numbers = NDArray[np.unsignedinteger[Any]]
"""Of classes: 0 for the background."""
Fractions = NDArray[np.float32]
"""From 0 to 1."""


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
    numbers = _numbers(result)
    slices = _sample(numbers, result.labels.affine, frames, order=0)
    if numbers.any() and not slices.any():
        raise VolumeError(
            "nothing of the label map lies on the images of the series; they are not what was segmented"
        )
    return slices


def probability_frames(result: Result, frames: Sequence[Frame]) -> Fractions:
    """The probability of each class at every pixel of every frame, linear between voxels.

    Args:
        result: its probabilities and classes.
        frames: N, of one size.

    Returns:
        (N, R, C, S): frames, rows, columns, classes without the background.

    Raises:
        VolumeError: a class has no probabilities, or they are not within 0 to 1 on the grid of the labels.
    """
    known = result.probabilities or {}
    storage = frames[0].instance.storage
    classes = [label for label in result.classes if label.value != 0]
    fractions = np.empty((len(frames), storage.rows, storage.columns, len(classes)), np.float32)
    for label, place in zip(classes, np.moveaxis(fractions, -1, 0), strict=True):
        if label.value not in known:
            raise VolumeError(f"there are no probabilities of label {label.value} ({label.name}); wanted all")
        volume = known[label.value]
        if not volume.grid.matches(result.labels.grid):
            raise VolumeError(
                f"the probabilities of label {label.value} are on another grid, {volume.grid!r}; wanted that "
                f"of the labels, {result.labels.grid!r}"
            )
        low, high = float(volume.array.min()), float(volume.array.max())
        if not (low >= 0 and high <= 1):  # not (...): NaN compares with nothing
            raise VolumeError(
                f"probabilities of label {label.value} reach from {low:g} to {high:g}; wanted 0 to 1"
            )
        sampled = _sample(volume.array.astype(np.float32, copy=False), volume.affine, frames, order=1)
        np.clip(sampled, 0, 1, out=place)  # interpolation rounds
    return fractions


def _sample(array: NDArray[Any], affine: Affine, frames: Sequence[Frame], *, order: int) -> NDArray[Any]:
    """(N, R, C): values of a grid at the pixels of frames; 0 outside of it."""
    to_index = np.linalg.inv(affine)
    storage = frames[0].instance.storage
    slices = np.empty((len(frames), storage.rows, storage.columns), array.dtype)
    for frame, pixels in zip(frames, slices, strict=True):
        matrix = to_index @ _pixel_to_ras(frame)
        ndimage.affine_transform(
            array, matrix[:3, :3], matrix[:3, 3], (1, *pixels.shape), pixels[None], order, "grid-constant"
        )
    return slices


def _numbers(result: Result) -> Numbers:
    """(I, J, K): the number of the class of each voxel."""
    known = [label.value for label in result.classes if label.value != 0]
    present = np.unique(result.labels.array)
    if unknown := sorted(set(present.tolist()) - {0, *known}):
        raise VolumeError(f"the label map holds label {unknown[0]}, which {result.model} does not have")
    number_of = {0: 0} | {value: number for number, value in enumerate(known, start=1)}
    # Of the labels that are there, however large they are: a table up to the largest may not fit in memory.
    table: Numbers = np.array(
        [number_of[value] for value in present.tolist()], np.uint8 if len(known) < 256 else np.uint16
    )
    numbers = np.empty(result.labels.shape, table.dtype)
    for plane, labels in zip(numbers, result.labels.array, strict=True):  # places take eight bytes a voxel
        plane[...] = table[np.searchsorted(present, labels)]
    return numbers


def _pixel_to_ras(frame: Frame) -> NDArray[np.float64]:
    """(4, 4): (0, row, column, 1) to RAS+ mm."""
    matrix = np.zeros((4, 4))
    matrix[:3, 1] = np.multiply(frame.along_column, frame.row_spacing_mm)
    matrix[:3, 2] = np.multiply(frame.along_row, frame.column_spacing_mm)
    matrix[:3, 3] = frame.position
    matrix[:2] *= -1  # from LPS
    matrix[3, 3] = 1
    return matrix

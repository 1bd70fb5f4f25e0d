"""What of two label maps is not background, renumbered, and the box of each label in it.

Most of an image is background that nobody asks about: it is looked at once, and fast.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.volume import smallest_integer_type

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Foreground:
    """Two label maps in the smallest box outside of which both are 0.

    Args:
        whole_predicted: n-D, of any integer type.
        whole_truth: the same shape.
    """

    whole_predicted: NDArray[Any]
    whole_truth: NDArray[Any]

    @cached_property
    def box(self) -> Box:
        """Where it is in the image."""
        boxes = [_box_of(array) for array in (self.whole_predicted, self.whole_truth)]
        return join_boxes([box for box in boxes if box is not None], self.whole_truth.ndim)

    @cached_property
    def values(self) -> list[int]:
        """0 and the labels of either map, rising: what a renumbered voxel's number is an index into."""
        crops = (self._crop(array) for array in (self.whole_predicted, self.whole_truth))
        return sorted({int(value) for crop in crops for value in fastremap.unique(crop)} | {0})

    @cached_property
    def predicted(self) -> NDArray[np.integer]:
        """The prediction in ``box``, as indices into ``values`` in as few bytes as hold them."""
        return self._renumber(self.whole_predicted)

    @cached_property
    def truth(self) -> NDArray[np.integer]:
        """The truth in ``box``, likewise."""
        return self._renumber(self.whole_truth)

    @cached_property
    def boxes(self) -> dict[int, Box]:
        """By label the box in the image that holds it in both maps."""
        found = [ndimage.find_objects(array) for array in (self.predicted, self.truth)]
        boxes = {}
        for index, value in enumerate(self.values[1:]):
            own = [each[index] for each in found if index < len(each) and each[index] is not None]
            boxes[value] = _shift(join_boxes(own, len(self.box)), self.box)
        return boxes

    def _crop(self, whole: NDArray[Any]) -> NDArray[Any]:
        """The box, in this machine's order of bytes: fastremap knows no other."""
        return whole[self.box].astype(whole.dtype.newbyteorder("="), copy=False)

    def _renumber(self, whole: NDArray[Any]) -> NDArray[np.integer]:
        values, crop = self.values, self._crop(whole)
        kind = smallest_integer_type(len(values) - 1)
        if values[-1] == len(values) - 1:  # 0, 1, 2, ... as they are
            return np.ascontiguousarray(crop, kind)
        if values[-1] >= 1 << 16:
            index = {value: number for number, value in enumerate(values)}
            return np.ascontiguousarray(fastremap.remap(crop, index), kind)
        table = np.zeros(values[-1] + 1, kind)
        table[values] = np.arange(len(values))
        return np.ascontiguousarray(table[crop])


def join_boxes(boxes: list[Box], axes: int) -> Box:
    """The smallest box that holds them all; an empty one, if there are none."""
    if not boxes:
        return (slice(0, 0),) * axes
    return tuple(
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes))
        for axis in range(axes)
    )


def _box_of(array: NDArray[Any]) -> Box | None:
    """The box of what is not 0; None, if all is."""
    sides = []
    for axis in range(array.ndim):
        others = tuple(other for other in range(array.ndim) if other != axis)
        filled = np.flatnonzero(array.any(axis=others))
        if not filled.size:
            return None
        sides.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(sides)


def _shift(box: Box, origin: Box) -> Box:
    return tuple(
        slice(side.start + o.start, side.stop + o.start) for side, o in zip(box, origin, strict=True)
    )

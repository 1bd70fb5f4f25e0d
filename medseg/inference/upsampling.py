"""The largest of all classes after linear interpolation, without interpolating all classes.

The weights of linear interpolation are not negative and sum to 1. So where the eight voxels around a
point agree which class is largest, the interpolated scores agree with them, and only points near a
boundary need scores at all. There, a class whose largest score of the eight is below some other class's
smallest cannot win, which leaves two or three of a hundred classes.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.interpolation import sample_parallel
from medseg.threads import share

Scores = NDArray[np.float32]
"""(K,*S) scores of all classes; K = 1 is the lead of one class over the background, which has 0."""
Positions = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Classes = NDArray[np.unsignedinteger[Any]]

_DENSE = 0.35  # of the points near a boundary: from here on, all classes in full are faster
# In each of a few threads:
_BOUNDS = 5_000_000  # largest scores around points, of all classes, that are held at once: 20 MB
_POINTS = 125_000  # worked on at once, at about 150 bytes each
_ROWS = 1_000_000  # points of whole rows that are looked at for boundaries at once


def classify(scores: Scores, positions: Positions) -> Classes:
    """The class that is largest at each point of a grid; on a tie the first.

    Args:
        scores: (K,I,J,K').
        positions: of the wanted points along each axis, in voxels, from 0 to its length less 1.

    Returns:
        Index of the class at each point; for K = 1, 1 where the lead is above 0.
    """
    scores = np.ascontiguousarray(scores)
    best, across = _largest(scores), len(positions[1]) * len(positions[2])
    rows = max(1, _ROWS // max(1, across))
    cuts = [positions[0][begin : begin + rows] for begin in range(0, max(1, len(positions[0])), rows)]
    return np.concatenate(share(lambda cut: _classify_rows(scores, best, (cut, *positions[1:])), cuts))


def _classify_rows(scores: Scores, best: Classes, positions: Positions) -> Classes:
    """The class at some rows of points, from the class at each voxel."""
    lower = [np.floor(p).astype(np.intp) for p in positions]
    upper = [np.ceil(p).astype(np.intp) for p in positions]
    least = most = best
    for axis, (low, high) in enumerate(zip(lower, upper, strict=True)):
        if np.array_equal(low, high):
            least, most = least.take(low, axis), most.take(low, axis)
        else:
            least, most = (
                np.minimum(least.take(low, axis), least.take(high, axis)),
                np.maximum(most.take(low, axis), most.take(high, axis)),
            )
    near = np.flatnonzero(least != most)
    if len(near) > _DENSE * least.size:
        return _classify_all(scores, positions)
    result = np.ascontiguousarray(least).reshape(-1)
    step = max(1, min(_POINTS, _BOUNDS // len(scores)))
    for begin in range(0, len(near), step):
        points = near[begin : begin + step]
        result[points] = _Boundary(scores, positions, least.shape, points).winners(best.dtype)
    return result.reshape(least.shape)


def last_region(scores: Scores, positions: Positions) -> Classes:
    """The last of the regions, each above 0 by itself, that hold at each point; counted from 1, 0 for none.

    Args:
        scores: (K,I,J,K'), one channel a region.
        positions: as for ``classify``.
    """
    result: Classes | None = None
    for number in range(len(scores)):
        holds = classify(scores[number : number + 1], positions)
        if result is None:
            result = np.zeros(holds.shape, np.min_scalar_type(len(scores)))
        result[holds > 0] = number + 1
    assert result is not None  # there is at least one region
    return result


class _Boundary:
    """Points whose surroundings disagree: the voxels around each, and the weights of these."""

    def __init__(
        self, scores: Scores, positions: Positions, shape: tuple[int, ...], points: NDArray[np.intp]
    ) -> None:
        self._flat = [channel.reshape(-1) for channel in scores]
        self._fractions = []
        self._steps = []  # from the lower to the upper voxel, in the flat array; 0 at the far edge
        self._corner = np.zeros(len(points), np.intp)
        stride = int(np.prod(scores.shape[1:]))
        for along, n, index in zip(positions, scores.shape[1:], np.unravel_index(points, shape), strict=True):
            stride //= n
            low = np.floor(along).astype(np.intp)
            self._corner += low[index] * stride
            self._fractions.append((along - low).astype(np.float32)[index])
            # Also where the fraction is 0, so that points of one cell have the same eight voxels.
            self._steps.append(((low < n - 1) * stride)[index])

    def winners(self, kind: np.dtype[Any]) -> Classes:
        """The largest class at each point."""
        count = len(self._corner)
        if len(self._flat) == 1:
            return (self._interpolate(0, np.arange(count)) > 0).astype(kind)
        most, floor = self._bounds()
        top = np.full(count, -np.inf, np.float32)
        result = np.zeros(count, kind)
        for number, largest in enumerate(most):
            able = np.flatnonzero(largest >= floor)
            value = self._interpolate(number, able)
            ahead = value > top[able]
            winners = able[ahead]
            top[winners], result[winners] = value[ahead], number
        return result

    def _bounds(self) -> tuple[list[Scores], Scores]:
        """For each class its largest score around each point; and the largest of the classes' smallest."""
        _, representative, cell = np.unique(self._corner, return_index=True, return_inverse=True)
        around = [self._around(bits, representative) for bits in itertools.product((0, 1), repeat=3)]
        most = []
        floor = np.full(len(representative), -np.inf, np.float32)
        for flat in self._flat:
            values = np.stack([flat.take(voxels) for voxels in around])
            most.append(values.max(axis=0))
            np.maximum(floor, values.min(axis=0), out=floor)
        return [largest[cell] for largest in most], floor[cell]

    def _around(self, bits: tuple[int, ...], chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        voxels = self._corner[chosen]
        for bit, step in zip(bits, self._steps, strict=True):
            if bit:
                voxels = voxels + step[chosen]
        return voxels

    def _interpolate(self, number: int, chosen: NDArray[np.intp]) -> Scores:
        flat, total = self._flat[number], np.zeros(len(chosen), np.float32)
        for bits in itertools.product((0, 1), repeat=3):
            weight = np.ones(len(chosen), np.float32)
            for bit, fraction in zip(bits, self._fractions, strict=True):
                weight *= fraction[chosen] if bit else 1 - fraction[chosen]
            total += weight * flat.take(self._around(bits, chosen))
        return total


def _largest(scores: Scores) -> Classes:
    if len(scores) == 1:
        return np.asarray(scores[0] > 0, np.uint8)
    return np.asarray(scores.argmax(axis=0), np.min_scalar_type(len(scores) - 1))


def _classify_all(scores: Scores, positions: Positions) -> Classes:
    """Every class in full, one after the other, keeping the largest so far."""
    top = sample_parallel(scores[0], positions, "linear", 0)
    if len(scores) == 1:
        return np.asarray(top > 0, np.uint8)
    top = top.copy()  # where nothing moves, it is a view of the scores
    result: Classes = np.zeros(top.shape, np.min_scalar_type(len(scores) - 1))
    for number, channel in enumerate(scores[1:], start=1):
        rival = sample_parallel(channel, positions, "linear", 0)
        ahead = rival > top
        result[ahead] = number
        np.copyto(top, rival, where=ahead)
    return result

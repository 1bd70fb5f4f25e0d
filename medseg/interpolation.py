"""Values between voxels: nearest, linear, and cubic B-spline, on one source array.

Where the wanted points form a grid parallel to the source's axes, interpolation is separable and
runs one axis after the other; otherwise every point is computed by scipy. A voxel is a box: points
up to half a voxel beyond the outermost centres belong to the edge voxel, anything further is outside.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import VolumeError
from medseg.storage import converted, empty, let_go
from medseg.threads import share

Interpolation = Literal["nearest", "linear", "cubic"]
Array = NDArray[Any]
Positions = NDArray[np.float64]

_SPLINE_PAD = 12  # voxels of edge padding after which the B-spline prefilter's boundary has decayed (scipy's)
_EDGE = 0.5 + 1e-6  # half a voxel and rounding: the outer face of the outermost voxel is still inside
_BAND_VOXELS = 1_000_000  # resampled at once along one axis in each thread: some 15 MB in all
_SLAB_POINTS = 1_000_000  # computed at once where every point is: about 80 bytes each, 80 MB


def sample_parallel(
    array: Array, positions: tuple[Positions, Positions, Positions], how: Interpolation, outside: float
) -> Array:
    """Interpolate at the grid of positions p_i x p_j x p_k, in voxels of ``array`` (I, J, K)."""
    shape = tuple(len(p) for p in positions)
    kind = array.dtype if how == "nearest" else np.dtype(_float_type(array))
    result, beyond = array, as_stored(outside, kind)
    # The axis that shrinks most goes first, so that the others have less to do.
    for axis in sorted(range(3), key=lambda a: shape[a] / array.shape[a]):
        result = _sample_in_bands(result, positions[axis], axis, how, kind)
    if result.dtype != kind:
        result = converted(result, kind)
    for axis, (points, length) in enumerate(zip(positions, array.shape, strict=True)):
        inside = (points >= -_EDGE) & (points <= length - 1 + _EDGE)
        if not inside.all():  # this axis was sampled, so the result is no view of the source
            result[(slice(None),) * axis + (~inside,)] = beyond
    return result


def sample_anywhere(
    array: Array, matrix: Array, shape: tuple[int, int, int], how: Interpolation, outside: float
) -> Array:
    """Interpolate at ``matrix @ (i, j, k, 1)`` for every voxel (i, j, k) of a grid of ``shape``.

    Args:
        array: (I, J, K).
        matrix: (4, 4), target voxel index to source voxel index.
        shape: of the target.
        how: nearest, linear or cubic.
        outside: value beyond the source.
    """
    kind = array.dtype if how == "nearest" else np.dtype(_float_type(array))
    beyond = as_stored(outside, kind)
    result = np.empty(shape, kind)
    # scipy's result has its source's type: whole numbers in would be cut off to whole numbers out.
    source, shift = array.astype(kind, copy=False), 0
    if how == "cubic":
        shift = _SPLINE_PAD
        source = ndimage.spline_filter(
            np.pad(source, shift, mode="edge"), order=3, output=kind, mode="nearest"
        )
    thick = max(1, _SLAB_POINTS // (shape[1] * shape[2]))
    for start in range(0, shape[0], thick):
        stop = min(start + thick, shape[0])
        index = np.indices((stop - start, *shape[1:]), dtype=np.float64)
        index[0] += start
        points = np.tensordot(matrix[:3, :3], index, axes=1) + matrix[:3, 3].reshape(3, 1, 1, 1)
        limits = np.array(array.shape).reshape(3, 1, 1, 1) - 1
        inside = ((points >= -_EDGE) & (points <= limits + _EDGE)).all(axis=0)
        slab = (
            source[tuple(np.floor(points + 0.5).astype(np.intp).clip(0, limits))]
            if how == "nearest"
            else ndimage.map_coordinates(
                source, points + shift, order=3 if how == "cubic" else 1, mode="nearest", prefilter=False
            )
        )
        result[start:stop] = np.where(inside, slab, beyond)
    return result


def as_stored(value: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A fill value as a scalar array of an array's type.

    Raises:
        VolumeError: the type cannot hold it, where numpy would wrap or cut it off.
    """
    if dtype.kind in "iub":
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not low <= value <= high or value != int(value):
            raise VolumeError(
                f"cannot fill {dtype} voxels with {value}: wanted a whole number from {low} to {high}; "
                "convert the array to float32 first"
            )
    return np.asarray(value, dtype)


def _sample_in_bands(
    array: Array, positions: Positions, axis: int, how: Interpolation, kind: np.dtype[Any]
) -> Array:
    """One axis, a band of lines at a time: lines know nothing of each other, and bands fit in the cache."""
    across = max((a for a in range(3) if a != axis), key=lambda a: array.shape[a])
    step = max(1, _BAND_VOXELS // (array.size // array.shape[across]))
    if _is_whole(positions, array.shape[axis]):
        return array
    if step >= array.shape[across]:
        return _sample_axis(array.astype(kind, copy=False), positions, axis, how)
    shape = list(array.shape)
    shape[axis] = len(positions)
    result = empty(shape, kind)

    def sample(start: int) -> None:
        band = (slice(None),) * across + (slice(start, start + step),)
        result[band] = _sample_axis(array[band].astype(kind, copy=False), positions, axis, how)
        let_go(result)
        let_go(array)

    share(sample, range(0, array.shape[across], step))
    return result


def _is_whole(positions: Positions, length: int) -> bool:
    """Whether the wanted points are the voxels themselves."""
    return len(positions) == length and np.array_equal(positions, np.arange(length))


def _sample_axis(array: Array, positions: Positions, axis: int, how: Interpolation) -> Array:
    """One axis: a weighted sum of one, two or four shifted gathers."""
    length = array.shape[axis]
    if _is_whole(positions, length):
        return array
    if how == "nearest":
        return array.take(np.floor(positions + 0.5).astype(np.intp).clip(0, length - 1), axis)
    # A cubic spline continues over its padding; the linear ramp ends at the outermost centre.
    points = np.clip(positions, -1, length) if how == "cubic" else np.clip(positions, 0, length - 1)
    lower = np.floor(points).astype(np.intp)
    t = points - lower
    if how == "linear":
        weights, first = [1 - t, t], 0
    else:
        widths = [(0, 0)] * 3
        widths[axis] = (_SPLINE_PAD, _SPLINE_PAD)
        array = ndimage.spline_filter1d(
            np.pad(array, widths, mode="edge"), order=3, axis=axis, output=array.dtype, mode="nearest"
        )
        lower, length, first = lower + _SPLINE_PAD, length + 2 * _SPLINE_PAD, -1
        # Cubic B-spline basis at distances 1+t, t, 1-t, 2-t (Unser 1999, eq. 2).
        weights = [(1 - t) ** 3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - (1 - t) ** 2 * (1 + t) / 2, t**3 / 6]
    along = [1, 1, 1]
    along[axis] = len(positions)
    total: Array | None = None
    for tap, weight in enumerate(weights, start=first):
        part = array.take(np.minimum(lower + tap, length - 1), axis)
        part *= weight.reshape(along).astype(array.dtype)
        if total is None:
            total = part
        else:
            total += part
    assert total is not None  # there are two or four taps
    return total


def _float_type(array: Array) -> type[np.floating[Any]]:
    """float32 is exact for 24-bit integers; wider stored values keep double precision."""
    return np.float64 if array.dtype.itemsize > 4 or array.dtype.str[1:] in ("i4", "u4") else np.float32

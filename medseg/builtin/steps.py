"""Steps before and after the network, by the names that contracts use.

Each factory takes plain options and returns ``Volume -> (Volume, undo)``. Intensity steps leave
the grid alone, and so does their undo; steps on label maps never add a label.
"""

import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import OptionError
from medseg.geometry import Undo
from medseg.storage import bands, converted, let_go
from medseg.threads import share
from medseg.volume import Volume

_LONG_LIST = 2**16  # find_objects makes a list as long as the largest label
_COUNTED = 1 << 22  # voxels at once
_SUMMED = 1 << 23  # bytes at once in each thread

StepCall = Callable[[Volume], tuple[Volume, Undo]]
Values = NDArray[np.float32]
Change = Callable[[Values], None]
"""Changes some of the values in place."""


def clip(*, low: float = 0.0, high: float = 1.0) -> StepCall:
    """Limit values to ``low .. high``, in the volume's unit (HU for CT)."""
    if low > high:
        raise OptionError(f"clip: low ({low}) must not be above high ({high})")
    return _on_values(lambda _: _limit(low, high))


def clip_percentiles(*, low: float = 0.5, high: float = 99.5) -> StepCall:
    """Limit values to two percentiles of the volume itself."""
    if not 0 <= low <= high <= 100:
        raise OptionError(f"clip-percentiles: wanted 0 <= low <= high <= 100, got {low} and {high}")
    # One partition serves both percentiles; the values are numpy's own definition ("linear").
    return _on_values(lambda x: _limit(*np.percentile(x, [low, high]).astype(np.float32)))


def zscore(*, nonzero: bool = False) -> StepCall:
    """Subtract the mean and divide by the standard deviation (by 1 where a volume is constant).

    Args:
        nonzero: of the voxels that are not 0 alone; the others stay 0.
    """

    def fitted(x: Values) -> Change:
        mean, deviation = _mean_and_deviation(x[x != 0] if nonzero and x.any() else x)

        def change(part: Values) -> None:
            there = part != 0 if nonzero else True
            np.subtract(part, np.float32(mean), out=part, where=there)
            np.divide(part, np.float32(deviation or 1.0), out=part, where=there)

        return change

    return _on_values(fitted)


def scale(*, factor: float = 1.0, offset: float = 0.0) -> StepCall:
    """Multiply by ``factor``, then add ``offset``."""

    def change(part: Values) -> None:
        part *= np.float32(factor)
        part += np.float32(offset)

    return _on_values(lambda _: change)


def rescale(*, low: float = 0.0, high: float = 1.0) -> StepCall:
    """Map the volume's own minimum and maximum linearly to ``low`` and ``high``."""

    def fitted(x: Values) -> Change:
        least, most = float(x.min()), float(x.max())
        span = (most - least) or 1.0

        def change(part: Values) -> None:
            part -= np.float32(least)
            part *= np.float32((high - low) / span)
            part += np.float32(low)

        return change

    return _on_values(fitted)


def largest_component() -> StepCall:
    """Keep, of each label, the largest piece (voxels that touch by face, edge or corner)."""

    def kept(labels: NDArray[np.integer]) -> NDArray[np.integer]:
        result = np.zeros_like(labels)
        for label, box in _boxes(labels):
            mask = labels[box] == label
            result[box][largest_piece(mask)] = label
        return result

    return _on_labels(kept)


def fill_holes() -> StepCall:
    """Give enclosed background (closed in by faces) to the label around it, the innermost of several."""

    def filled(labels: NDArray[np.integer]) -> NDArray[np.integer]:
        result = labels.copy()
        cavity = np.full(labels.shape, labels.size, np.min_scalar_type(labels.size))  # size of the one filled
        for label, box in _boxes(labels):
            pieces, sizes = _cavities(labels[box] == label)
            for n, plane in enumerate(pieces):  # a few bytes a voxel less than all at once
                there, found = sizes[plane], cavity[box][n]
                # Of two cavities that hold one voxel, the smaller lies in the larger.
                inner = (there > 0) & (there < found) & (labels[box][n] == 0)
                result[box][n][inner] = label
                found[inner] = there[inner]
        return result

    return _on_labels(filled)


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 26-connected component of a mask (I, J, K); the mask itself if it is empty."""
    pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count <= 1:
        return mask
    sizes = _piece_sizes(pieces, count)
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def _cavities(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.unsignedinteger]]:
    """The pieces of the background (I, J, K) by number, and the size of each; 0 of what is no cavity.

    A cavity is what no path of background faces joins to the border. scipy's ``binary_fill_holes`` floods
    from the border one voxel a pass; labelling the background once gives the same answer in one pass.
    """
    pieces, count = ndimage.label(np.pad(~mask, 1, constant_values=True))
    sizes = _piece_sizes(pieces, count).astype(np.min_scalar_type(pieces.size))
    sizes[[0, pieces[0, 0, 0]]] = 0  # the mask itself, and the background outside it
    return pieces[1:-1, 1:-1, 1:-1], sizes


def _piece_sizes(pieces: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Voxels of each of ``count`` pieces, 0 among them; in parts, for each is copied to 8 bytes a voxel."""
    sizes, flat = np.zeros(count + 1, np.int64), pieces.reshape(-1)
    at_once = max(_COUNTED, count)
    for start in range(0, flat.size, at_once):
        sizes += np.bincount(flat[start : start + at_once], minlength=count + 1)
    return sizes


def _boxes(labels: NDArray[np.integer]) -> list[tuple[int, tuple[slice, slice, slice]]]:
    """Each label but 0, and the box around its voxels."""
    values: Iterable[int] = itertools.count(1)
    if labels.max() > _LONG_LIST:
        values, dense = np.unique(labels, return_inverse=True)
        labels = dense + 1
    boxes = zip(values, ndimage.find_objects(labels), strict=False)  # the boxes end the count
    return [(int(n), box) for n, box in boxes if n != 0 and box is not None]


def _limit(low: float, high: float) -> Change:
    def change(part: Values) -> None:
        np.clip(part, low, high, out=part)

    return change


def _mean_and_deviation(x: Values) -> tuple[float, float]:
    """In double precision, a band at a time: numpy would hold the squares of the whole in it."""

    def squares(band: tuple[slice, ...]) -> float:
        apart = np.subtract(x[band], mean, dtype=np.float64)
        return float(np.square(apart, out=apart).sum())

    parts = list(bands(x, _SUMMED))
    mean = sum(share(lambda band: float(x[band].sum(dtype=np.float64)), parts)) / x.size
    return mean, math.sqrt(sum(share(squares, parts)) / x.size)


def _on_values(fit: Callable[[Values], Change]) -> StepCall:
    """A step that changes a float32 copy of the values in place: ``fit`` looks at all, and says how."""

    def step(volume: Volume) -> tuple[Volume, Undo]:
        values = converted(volume.array, np.float32)
        change = fit(values)
        for band in bands(values):
            change(values[band])
            let_go(values)
        return volume.with_array(values, kind="image"), _unchanged

    return step


def _on_labels(change: Callable[[NDArray[np.integer]], NDArray[np.integer]]) -> StepCall:
    def step(volume: Volume) -> tuple[Volume, Undo]:
        if volume.kind != "labels":
            raise OptionError("this step works on label maps; it got an image")
        return volume.with_array(change(volume.array)), _unchanged

    return step


def _unchanged(processed: Volume) -> Volume:
    return processed

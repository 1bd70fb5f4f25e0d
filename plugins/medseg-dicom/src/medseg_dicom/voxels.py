"""From stored pixels to values: unused bits cleared, rescaled slice by slice, padding set to air.

Values are int16 where every slope and intercept is a whole number and all results fit, else float32.

Reference: DICOM PS3.3, C.11.1.1.2 (rescale), C.7.5.1.1.2 (pixel padding); PS3.5, section 8.1.1 (bits).
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.memory import empty_voxels
from medseg_dicom.header import Frame, Instance
from medseg_dicom.pixels import Stored, read_stored

AIR = {"CT": -1000, "MR": 0, "PT": 0}
"""What padding becomes: Hounsfield's air, or no signal."""
_INT16 = np.iinfo(np.int16)
_Array = NDArray[Any]


class _TooLargeError(Exception):
    """A value does not fit into int16."""


def read_values(
    frames: Sequence[Frame], *, factor: float = 1.0, threads: int = 0
) -> tuple[NDArray[Any], int]:
    """Read frames and rescale each by its own slope and intercept.

    Args:
        frames: in the order of the grid; all of one size.
        factor: multiplies every value, as for SUV.
        threads: how many files are read at once; 0: as many as suit the machine.

    Returns:
        (K, R, C), slice by slice; and the number of padding voxels that were changed to air.
    """
    if factor == 1.0 and all(_whole(frame.slope, frame.intercept) for frame in frames):
        try:
            return _read(frames, np.int16, 1.0, threads)
        except _TooLargeError:
            pass  # seldom: 16 bits without a sign that are really used. Read them again as float32
    return _read(frames, np.float32, factor, threads)


def _read(frames: Sequence[Frame], kind: type[Any], factor: float, threads: int) -> tuple[_Array, int]:
    storage = frames[0].instance.storage
    values = empty_voxels((len(frames), storage.rows, storage.columns), kind)
    files: dict[int, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        files[id(frame.instance)].append(index)

    def read_file(indices: list[int]) -> int:
        padded = 0
        instance = frames[indices[0]].instance
        stored = read_stored(instance, [frames[index].number for index in indices])
        for index, pixels in zip(indices, stored, strict=True):
            frame = frames[index]
            slope = 1.0 if frame.slope is None else frame.slope
            intercept = 0.0 if frame.intercept is None else frame.intercept
            padding = _padding(pixels, instance)
            clean = _without_unused_bits(pixels, instance)
            if kind is np.int16:
                _rescale_whole(clean, int(slope), int(intercept), padding, out=values[index])
            else:
                values[index] = (clean.astype(np.float64) * slope + intercept) * factor
            if padding is not None:
                air = AIR[instance.modality]
                padded += int((values[index][padding] != air).sum())
                values[index][padding] = air
        return padded

    with ThreadPoolExecutor(threads or None) as pool:
        padded = sum(pool.map(read_file, files.values()))
    return values, padded


def _whole(slope: float | None, intercept: float | None) -> bool:
    return slope is None or intercept is None or (slope.is_integer() and intercept.is_integer())


def _padding(pixels: Stored, instance: Instance) -> NDArray[np.bool_] | None:
    """Where the stored value, all its bits included, stands for nothing measured."""
    if instance.padding is None:
        return None
    low, high = instance.padding
    mask = pixels == low if low == high else (pixels >= low) & (pixels <= high)
    return mask if mask.any() else None


def _without_unused_bits(pixels: Stored, instance: Instance) -> Stored:
    """Clear what old writers kept above BitsStored, such as overlays."""
    storage = instance.storage
    unused = storage.bits_allocated - storage.bits_stored
    if not unused:
        return pixels
    if storage.signed:
        return np.right_shift(np.left_shift(pixels, unused), unused)  # the second repeats the sign
    return np.bitwise_and(pixels, (1 << storage.bits_stored) - 1)


def _rescale_whole(
    clean: Stored, slope: int, intercept: int, padding: NDArray[np.bool_] | None, *, out: _Array
) -> None:
    """Rescale in 16-bit arithmetic, which wraps and so is exact whenever the result fits."""
    used = clean if padding is None else clean[~padding]
    if used.size:
        ends = [int(used.min()) * slope + intercept, int(used.max()) * slope + intercept]
        if min(ends) < _INT16.min or max(ends) > _INT16.max:
            raise _TooLargeError
    if max(abs(slope), abs(intercept)) > 1 << 15:
        raise _TooLargeError
    wide = clean.astype(np.uint16 if clean.dtype.kind == "u" else np.int16, copy=False).view(np.int16)
    if slope == 1:
        np.add(wide, np.array(intercept, np.int64).astype(np.int16), out=out)
    else:
        np.multiply(wide, np.array(slope, np.int64).astype(np.int16), out=out)
        out += np.array(intercept, np.int64).astype(np.int16)

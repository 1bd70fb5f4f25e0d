"""Reorient, resample, crop, pad and fit a volume; each returns its undo.

An undo takes a volume on the processed grid (a label map, say) and brings it back to the grid it
came from: shape and affine are restored exactly, values as far as nothing was lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.errors import OptionError, VolumeError
from medseg.interpolation import Interpolation, as_stored, sample_anywhere, sample_parallel
from medseg.volume import MAX_VOXELS_PER_AXIS, Affine, Grid, Volume, nearest_axes

Undo = Callable[[Volume], Volume]
"""Brings a volume on the processed grid back to the original grid."""

_LETTER_AXIS = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}


def reorient(volume: Volume, orientation: str) -> tuple[Volume, Undo]:
    """Permute and flip axes until they run nearest to ``orientation``; no value changes.

    Args:
        volume: (I, J, K).
        orientation: three letters, one of each pair L/R, P/A, I/S, such as ``"RAS"``; ``"stored"``
            leaves the axes as they are.

    Returns:
        The volume, and its undo.

    Example:
        >>> import numpy as np
        >>> from medseg.volume import Volume
        >>> turned, undo = reorient(Volume(np.zeros((4, 5, 6)), np.diag([-1.0, 1, 1, 1])), "ASR")
        >>> turned.shape, turned.orientation, undo(turned).orientation
        ((5, 6, 4), 'ASR', 'LAS')
    """
    if orientation == "stored":
        return volume, _undo(volume.grid, volume.grid, lambda array: array)
    wanted = parse_orientation(orientation)
    have = nearest_axes(volume.affine)
    order = [next(a for a in range(3) if have[a][0] == world) for world, _ in wanted]
    flips = [have[axis][1] != sign for axis, (_, sign) in zip(order, wanted, strict=True)]
    turned = replace(
        volume,
        array=_flip(volume.array.transpose(order), flips),
        affine=volume.affine @ _turn_matrix(volume.shape, order, flips),
    )

    def put_back(array: NDArray[np.generic]) -> NDArray[np.generic]:
        return _flip(array, flips).transpose(np.argsort(order))

    return turned, _undo(volume.grid, turned.grid, put_back)


def reorient_together(volumes: Sequence[Volume], orientation: str) -> tuple[list[Volume], Undo]:
    """``reorient`` for the channels of one image, which lie on one grid; all are turned as the first is.

    Near 45 degrees the last digits of an affine decide which world axis is nearest, and files of one grid
    may differ in these.

    Returns:
        The volumes on the first one's grid, and the undo of each.
    """
    grid = volumes[0].affine
    turned = [reorient(replace(volume, affine=grid), orientation) for volume in volumes]
    return [volume for volume, _ in turned], turned[0][1]


def crop(volume: Volume, start: Sequence[int], stop: Sequence[int]) -> tuple[Volume, Undo]:
    """Keep the box ``start <= index < stop``; its undo fills the rest with 0.

    Raises:
        VolumeError: the box is empty or reaches outside.
    """
    if any(a < 0 or b > n or a >= b for a, b, n in zip(start, stop, volume.shape, strict=True)):
        raise VolumeError(
            f"the box from {tuple(start)} to {tuple(stop)} is empty or not inside {volume.shape}"
        )
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    affine = _shifted(volume.affine, start)
    cropped = replace(volume, array=volume.array[box], affine=affine)

    def put_back(array: NDArray[np.generic]) -> NDArray[np.generic]:
        whole = np.zeros(volume.shape, array.dtype)
        whole[box] = array
        return whole

    return cropped, _undo(volume.grid, cropped.grid, put_back)


def pad(
    volume: Volume, before: Sequence[int], after: Sequence[int], *, value: float = 0
) -> tuple[Volume, Undo]:
    """Add voxels of one value on each side; its undo cuts them off.

    Raises:
        VolumeError: a negative number of voxels, or a value that the array's type cannot hold.
    """
    if min(*before, *after) < 0:
        raise VolumeError(f"cannot pad by a negative number of voxels: {tuple(before)}, {tuple(after)}")
    widths = list(zip(before, after, strict=True))
    array = np.pad(volume.array, widths, constant_values=as_stored(value, volume.array.dtype))
    padded = replace(volume, array=array, affine=_shifted(volume.affine, [-b for b in before]))
    inner = tuple(slice(b, b + n) for b, n in zip(before, volume.shape, strict=True))
    return padded, _undo(volume.grid, padded.grid, lambda filled: filled[inner])


def resample(
    volume: Volume, spacing_mm: Sequence[float], *, interpolation: Interpolation = "cubic"
) -> tuple[Volume, Undo]:
    """Resample to a voxel size; the new grid has the same centre and covers the same field of view.

    The size is rounded to whole voxels, so the outermost voxels may stand out by up to half a new
    voxel; they take the nearest edge value. Label maps are always resampled by nearest neighbour.

    Args:
        volume: (I, J, K).
        spacing_mm: along i, j, k.
        interpolation: for images.

    Raises:
        VolumeError: a spacing that is not positive, or so small that an axis would grow beyond 32767 voxels.
    """
    old, new = np.array(volume.spacing_mm), np.array(spacing_mm, dtype=np.float64)
    if new.shape != (3,) or not (np.isfinite(new).all() and (new > 0).all()):
        raise VolumeError(f"spacing must be three positive numbers of mm; got {tuple(spacing_mm)}")
    shape = tuple(max(1, round(n)) for n in np.array(volume.shape) * old / new)
    if max(shape) > MAX_VOXELS_PER_AXIS:
        raise VolumeError(
            f"a spacing of {tuple(spacing_mm)} mm would turn {volume.grid!r} into {shape} voxels; "
            f"wanted at most {MAX_VOXELS_PER_AXIS} along an axis: is it in mm?"
        )
    return _to_centred_grid(volume, shape, new / old, interpolation)


def fit(
    volume: Volume, shape: Sequence[int], *, interpolation: Interpolation = "linear"
) -> tuple[Volume, Undo]:
    """Resample the whole field of view to a fixed number of voxels, whatever their size becomes.

    Args:
        volume: (I, J, K).
        shape: voxels along i, j, k.
        interpolation: for images; label maps use nearest neighbour.

    Raises:
        VolumeError: not three whole numbers of at least 1.
    """
    if len(shape) != 3 or any(n < 1 or n != int(n) for n in shape):
        raise VolumeError(f"a grid needs three whole sizes of at least 1; got {tuple(shape)}")
    scale = np.array(volume.shape) / np.array(shape)
    return _to_centred_grid(volume, tuple(int(n) for n in shape), scale, interpolation)


def resample_to(
    volume: Volume, grid: Grid, *, interpolation: Interpolation = "linear", outside: float = 0
) -> tuple[Volume, Undo]:
    """Resample onto any grid in the same world.

    Args:
        volume: (I, J, K).
        grid: the shape and affine to bring it to.
        interpolation: for images; label maps use nearest neighbour.
        outside: value where the grid reaches beyond the volume (more than half a voxel past the
            outermost centres).

    Example:
        >>> import numpy as np
        >>> from medseg.volume import Volume
        >>> ramp = Volume(np.arange(8.0, dtype=np.float32).reshape(2, 2, 2), np.eye(4))
        >>> fine, undo = resample_to(ramp, ramp.grid)
        >>> bool((fine.array == ramp.array).all())
        True
    """
    how: Interpolation = "nearest" if volume.kind == "labels" else interpolation
    matrix = np.linalg.inv(volume.affine) @ grid.affine
    parallel = _parallel_positions(matrix, grid.shape)
    if parallel:
        order, positions = parallel
        array = sample_parallel(volume.array.transpose(order), positions, how, outside)
    else:
        array = sample_anywhere(volume.array, matrix, grid.shape, how, outside)
    moved = replace(volume, array=array, affine=grid.affine)
    home = volume.grid

    def undo(processed: Volume) -> Volume:
        _check_grid(processed, grid)
        return resample_to(processed, home, interpolation="linear")[0]

    return moved, undo


def within_balls(grid: Grid, centres_mm: Sequence[float], radius_mm: float) -> NDArray[np.bool_]:
    """Which voxels lie within some distance of points in the world.

    Args:
        grid: of the answer, (I, J, K).
        centres_mm: x, y, z of each point one after the other, RAS+ mm, as viewers show them.
        radius_mm: the voxel at a point itself is always in.

    Raises:
        OptionError: not three numbers a point, a radius below 0, or a point outside the grid.
    """
    points = np.asarray(centres_mm, dtype=np.float64)
    if points.size % 3 or not np.isfinite(points).all() or not radius_mm >= 0:
        raise OptionError(
            f"points are x, y, z in mm each, and a radius is not negative; got {tuple(centres_mm)} and "
            f"{radius_mm}"
        )
    found = np.zeros(grid.shape, bool)
    matrix = grid.affine[:3, :3]
    for point in points.reshape(-1, 3):
        index = np.linalg.solve(matrix, point - grid.affine[:3, 3])
        nearest = np.round(index).astype(int)
        if (nearest < 0).any() or (nearest >= grid.shape).any():
            ends = np.array(list(np.ndindex(2, 2, 2))) * (np.array(grid.shape) - 1)
            corners = ends @ matrix.T + grid.affine[:3, 3]
            extent = ", ".join(
                f"{a:.1f}..{b:.1f}" for a, b in zip(corners.min(0), corners.max(0), strict=True)
            )
            raise OptionError(
                f"the point {', '.join(f'{x:g}' for x in point)} mm (RAS+) is voxel "
                f"{tuple(nearest.tolist())}, outside {grid!r}, which lie in {extent} mm"
            )
        reach = np.ceil(radius_mm / np.array(grid.spacing_mm)).astype(int) + 1
        low, high = np.maximum(nearest - reach, 0), np.minimum(nearest + reach + 1, grid.shape)
        box = np.indices(high - low).reshape(3, -1).T + low - index
        near = np.linalg.norm(box @ matrix.T, axis=1) <= radius_mm
        found[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] |= near.reshape(high - low)
        found[tuple(nearest)] = True
    return found


def parse_orientation(orientation: str) -> list[tuple[int, int]]:
    """``"LPS"`` -> [(0, -1), (1, -1), (2, 1)]: world axis and sign of each array axis.

    Raises:
        VolumeError: not three letters, one of each pair.
    """
    axes = [_LETTER_AXIS.get(letter, (-1, 0)) for letter in orientation]
    if len(axes) != 3 or {world for world, _ in axes} != {0, 1, 2}:
        raise VolumeError(
            f"orientation {orientation!r}: wanted three letters, one of each pair L/R, P/A, I/S, such as RAS"
        )
    return axes


def _to_centred_grid(
    volume: Volume, shape: tuple[int, ...], scale: NDArray[np.float64], how: Interpolation
) -> tuple[Volume, Undo]:
    """Resample to ``shape`` voxels, each ``scale`` old voxels wide, about the same centre."""
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] * scale
    old_centre = volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]
    affine[:3, 3] = old_centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    i, j, k = shape
    target = Grid((i, j, k), affine)
    moved = _onto(volume, target, scale, how)
    home = volume.grid

    def undo(processed: Volume) -> Volume:
        _check_grid(processed, target)
        return _onto(processed, home, 1 / scale, "linear")

    return moved, undo


def _onto(volume: Volume, target: Grid, scale: NDArray[np.float64], how: Interpolation) -> Volume:
    """Resample to a parallel grid about the same centre, ``scale`` source voxels a target voxel."""
    i, j, k = centred_positions(target.shape, volume.shape, scale)
    array = sample_parallel(volume.array, (i, j, k), "nearest" if volume.kind == "labels" else how, 0)
    return replace(volume, array=array, affine=target.affine)


def centred_positions(
    target: Sequence[int], source: Sequence[int], scale: Sequence[float] | NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Where the voxels of a grid lie in a parallel one about the same centre, along each axis.

    Args:
        target: shape of the grid whose voxels are placed.
        source: shape of the grid in whose voxels the places are counted.
        scale: source voxels in one target voxel, along each axis.
    """
    return tuple(
        # Voxels that stand out beyond the field of view take its edge: they are rounding, not a new region.
        np.clip((np.arange(new) - (new - 1) / 2) * step + (old - 1) / 2, -0.5, old - 0.5)
        for new, old, step in zip(target, source, scale, strict=True)
    )


def _parallel_positions(
    matrix: Affine, shape: tuple[int, int, int]
) -> tuple[list[int], tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] | None:
    """Source axis and source positions of each target axis, if the two grids are parallel.

    Parallel means that the neglected terms move no voxel by more than a thousandth of a voxel.
    """
    linear = matrix[:3, :3]
    order = [int(axis) for axis in np.argmax(np.abs(linear), axis=0)]
    if sorted(order) != [0, 1, 2]:
        return None
    rest = linear.copy()
    rest[order, range(3)] = 0
    if (np.abs(rest) @ (np.array(shape) - 1)).max() > 1e-3:
        return None
    # Without the last digits, voxels that coincide are copied and halves round alike everywhere.
    i, j, k = ((linear[a, t] * np.arange(shape[t]) + matrix[a, 3]).round(9) for t, a in enumerate(order))
    return order, (i, j, k)


def _shifted(affine: Affine, start: Sequence[int]) -> Affine:
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ np.asarray(start, dtype=np.float64) + affine[:3, 3]
    return moved


def _flip(array: NDArray[np.generic], flips: Sequence[bool]) -> NDArray[np.generic]:
    return array[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]


def _turn_matrix(shape: Sequence[int], order: Sequence[int], flips: Sequence[bool]) -> Affine:
    """Index in the turned array -> index in the original one."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        matrix[old, new] = -1 if flip else 1
        matrix[old, 3] = shape[old] - 1 if flip else 0
    return matrix


def _undo(before: Grid, after: Grid, put_back: Callable[[NDArray[np.generic]], NDArray[np.generic]]) -> Undo:
    def undo(processed: Volume) -> Volume:
        _check_grid(processed, after)
        return replace(processed, array=put_back(processed.array), affine=before.affine)

    return undo


def _check_grid(volume: Volume, grid: Grid) -> None:
    if not volume.grid.matches(grid):
        raise VolumeError(f"undo wants a volume on the grid {grid!r}; got {volume.grid!r}")

"""First contours from what a hand drew: strokes inside and outside, or outlines in some slices."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import ContractError
from medseg.volume import Volume
from medseg_contours.distance import signed_distance


def start_from_scribbles(scribbles: Volume, *, background: int) -> Volume:
    """A first contour from strokes: each voxel gets the label of the nearest one.

    Args:
        scribbles: a label map; 0 where nothing was drawn.
        background: the label of strokes that mark the outside.

    Returns:
        A label map to refine, on the same grid.

    Raises:
        ContractError: an image, or strokes of fewer than two labels.
    """
    drawn = set(np.unique(scribbles.array).tolist()) - {0}
    if scribbles.kind != "labels" or background not in drawn or len(drawn) < 2:
        raise ContractError(
            f"scribbles are a label map with strokes outside (label {background}) and inside; got "
            f"{scribbles.kind} with the labels {sorted(drawn)[:10]}"
        )
    nearest = ndimage.distance_transform_edt(
        scribbles.array == 0, sampling=scribbles.spacing_mm, return_distances=False, return_indices=True
    )
    labels = scribbles.array[tuple(nearest)]
    return scribbles.with_array(np.where(labels == background, 0, labels).astype(labels.dtype))


def start_from_outlines(outlines: Volume) -> Volume:
    """A first contour from closed lines, or filled regions, that were drawn in some parallel slices.

    Between two drawn slices the distance to the outline is interpolated; beyond the last one the region
    becomes narrower by as much as the slice is away. S. Raya, J. Udupa: Shape-based interpolation of
    multidimensional objects. IEEE TMI 9, 1990.

    Args:
        outlines: a label map; each label in slices across one axis, which is found by itself.

    Returns:
        A label map to refine, on the same grid.

    Raises:
        ContractError: an image, or nothing was drawn.
    """
    if outlines.kind != "labels" or not outlines.array.any():
        raise ContractError(f"outlines are a label map with some label above 0; got {outlines!r} without any")
    result = np.zeros_like(outlines.array)
    deepest = np.zeros(outlines.shape, np.float32)
    for label in np.unique(outlines.array[outlines.array > 0]):
        depth = _solid(outlines.array == label, outlines.spacing_mm)
        mine = depth > deepest
        result[mine] = label
        deepest[mine] = depth[mine]
    return outlines.with_array(result)


def _solid(drawn: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    """Signed distance in mm (*S), in each drawn slice that of the filled outline."""
    slices = [np.flatnonzero(drawn.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    axis = min(range(3), key=lambda a: len(slices[a]))
    plane_mm = [h for a, h in enumerate(spacing_mm) if a != axis]
    planes = np.moveaxis(drawn, axis, 0)
    known = [signed_distance(ndimage.binary_fill_holes(planes[number]), plane_mm) for number in slices[axis]]
    depth = np.empty(planes.shape, np.float32)
    for number in range(len(planes)):
        after = int(np.searchsorted(slices[axis], number))
        before = max(after - 1, 0)
        after = min(after, len(known) - 1)
        low, high = slices[axis][before], slices[axis][after]
        part = np.clip((number - low) / (high - low), 0, 1) if high > low else 0.0
        away_mm = max(low - number, number - high, 0) * spacing_mm[axis]
        depth[number] = (1 - part) * known[before] + part * known[after] - away_mm
    return np.ascontiguousarray(np.moveaxis(depth, 0, axis))

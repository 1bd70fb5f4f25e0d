"""The surface of a mask, by either of two conventions, and the distances between two surfaces.

``voxels``: the voxels of the mask that share a face with one outside it, each of weight 1.
``area``: the corners of voxels at which the mask begins, each with the area of the surface there.
What is outside the image is outside the mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medseg.comparison.distribution import Distribution
from medseg.comparison.nearest import distances
from medseg.comparison.surfels import corner_areas, encode_corners

Surface = Literal["voxels", "area"]


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Distances between two surfaces, in both directions."""

    truth_to_predicted: Distribution
    predicted_to_truth: Distribution


def surface_distances(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float], surface: Surface
) -> Distances:
    """Distances between the surfaces of two masks.

    Args:
        predicted: n-D; False within ``nearest.margin`` of its rim, and in the outermost voxels at least.
        truth: the same shape, likewise.
        spacing_mm: of each axis.
        surface: the convention.
    """
    if surface == "voxels":
        ours, theirs = border(predicted), border(truth)
        our_weights = their_weights = None
    else:
        areas = corner_areas(spacing_mm)
        ours, our_weights = _corners(predicted, areas)
        theirs, their_weights = _corners(truth, areas)
    return Distances(
        truth_to_predicted=distances(theirs, ours, spacing_mm, their_weights),
        predicted_to_truth=distances(ours, theirs, spacing_mm, our_weights),
    )


def border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without its erosion by a cross; its outermost voxels must be False."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        ahead = (slice(None),) * axis + (slice(1, None),)
        behind = (slice(None),) * axis + (slice(None, -1),)
        inner[ahead] &= mask[behind]
        inner[behind] &= mask[ahead]
    inner ^= mask
    return inner


def _corners(
    mask: NDArray[np.bool_], areas: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    codes = encode_corners(mask)
    mixed = (codes != 0) & (codes != len(areas) - 1)
    return mixed, areas[codes[mixed]]

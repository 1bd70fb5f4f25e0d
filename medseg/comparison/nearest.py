"""From every point of one surface the distance to the nearest point of another, exactly.

Two segmentations of one thing run close to each other, so most points have their nearest neighbour
within a few voxels. Those are found by looking at the places around all points at once, in the order
of their distance; the first that is occupied is the nearest. What remains goes to a k-d tree. Neither
looks at the voxels between the surfaces, as a distance transform does, and all is in float64.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from medseg.comparison.distribution import Distribution

_PLACES = 120  # around a point, before the tree is asked


def margin(spacing_mm: Sequence[float]) -> tuple[int, ...]:
    """Voxels that must be free on each side of the surfaces in the arrays for ``distances``."""
    return tuple(np.abs(_surroundings(tuple(spacing_mm))[0]).max(axis=0).tolist())


def distances(
    source: NDArray[np.bool_],
    target: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    weights: NDArray[np.float64] | None = None,
) -> Distribution:
    """Distances in mm from each point of ``source`` to the nearest one of ``target``.

    Args:
        source: n-D; False within ``margin`` of its rim.
        target: the same shape, likewise.
        spacing_mm: of each axis.
        weights: of the points of ``source`` in array order; 1 each, if None.
    """
    points = np.flatnonzero(source)
    weight = np.ones(len(points)) if weights is None else weights
    goals = target.ravel()
    if not goals.any():
        return Distribution.everywhere(np.inf, float(weight.sum()))
    offsets, mm = _surroundings(tuple(spacing_mm))
    steps = offsets @ (np.array(target.strides) // target.itemsize)
    found = np.zeros(len(mm) + 1)
    for n, step in enumerate(steps):
        if not len(points):
            break
        hit = goals[points + step]
        found[n] = weight[hit].sum()
        points, weight = points[~hit], weight[~hit]
    near = Distribution.of(np.append(mm, np.inf), found)
    return near + _by_tree(points, weight, goals, source.shape, spacing_mm) if len(points) else near


def _by_tree(
    points: NDArray[np.intp],
    weight: NDArray[np.float64],
    goals: NDArray[np.bool_],
    shape: tuple[int, ...],
    spacing_mm: Sequence[float],
) -> Distribution:
    spacing = np.array(spacing_mm)
    here = np.stack(np.unravel_index(points, shape), axis=1)
    there = np.stack(np.unravel_index(np.flatnonzero(goals), shape), axis=1)
    # A tree in the order of the array is built several times faster, and is as good for a surface.
    tree = cKDTree(there * spacing, leafsize=32, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(here * spacing)
    # From whole voxels, so that equal distances are equal to the last bit.
    mm = np.sqrt((((here - there[nearest]) * spacing) ** 2).sum(axis=1))
    return Distribution.of(mm, weight)


@lru_cache(maxsize=64)
def _surroundings(spacing_mm: tuple[float, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Offsets (N, n) in voxels of all places in a ball, and their distances in mm, the nearest first."""
    spacing = np.array(spacing_mm)
    voxel, axes = float(np.prod(spacing)), len(spacing)
    unit_ball = {1: 2.0, 2: np.pi, 3: 4 / 3 * np.pi}[axes]
    radius_mm = max((_PLACES * voxel / unit_ball) ** (1 / axes), float(spacing.min()))
    reach = np.floor(radius_mm / spacing).astype(int)
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1)
    offsets = offsets.reshape(-1, axes)
    mm = np.sqrt(((offsets * spacing) ** 2).sum(axis=1))
    order = np.argsort(mm, kind="stable")
    order = order[mm[order] <= radius_mm]
    return offsets[order], mm[order]

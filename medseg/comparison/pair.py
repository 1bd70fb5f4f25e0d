"""A predicted and a true label map of one image, and what their metrics share."""

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.comparison.counts import Counts, joint_counts, one_against_rest
from medseg.comparison.foreground import Box, Foreground
from medseg.comparison.nearest import margin
from medseg.comparison.pieces import Connectivity, Pieces, find_pieces
from medseg.comparison.surfaces import Distances, Surface, surface_distances
from medseg.errors import VolumeError
from medseg.volume import Volume, nearest_axes


class Pair:
    """Two label maps on one grid. What several metrics need is worked out once, when first asked for.

    An axis of a single voxel has no neighbours, so that an image with one is taken as one of fewer axes.

    Args:
        predicted: label map (I, J, K).
        truth: label map on the same grid.
        labels: those to compare; all that either map has, if None.
        probabilities: predicted probability in each voxel (I, J, K), by label.

    Raises:
        VolumeError: the grids differ, or one of the two is no label map.
    """

    def __init__(
        self,
        predicted: Volume,
        truth: Volume,
        *,
        labels: Iterable[int] | None = None,
        probabilities: Mapping[int, NDArray[Any]] | None = None,
    ) -> None:
        for volume, role in ((predicted, "prediction"), (truth, "truth")):
            if volume.kind != "labels":
                raise VolumeError(f"the {role} is an {volume.kind}, wanted a label map: load it as one")
        if not predicted.grid.matches(truth.grid):
            raise VolumeError(
                f"the grids differ: the prediction has {predicted.grid!r}, the truth {truth.grid!r}"
                f"{_offset(predicted, truth)}; resample the prediction onto the truth's grid first"
            )
        self._wanted = None if labels is None else frozenset(labels)
        self.truth_grid = truth.grid
        self.voxel_ml = truth.voxel_ml
        self._kept = [axis for axis, size in enumerate(truth.shape) if size > 1] or [0]
        self.predicted, self.truth = self._squeeze(predicted.array), self._squeeze(truth.array)
        self.probabilities = {label: self._squeeze(p) for label, p in (probabilities or {}).items()}

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """Those of the labels to compare that either map has, rising; never the background."""
        return tuple(n for n in self._foreground.values[1:] if self._wanted is None or n in self._wanted)

    @cached_property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel size along the axes that have more than one voxel.

        Raises:
            VolumeError: the axes are not at right angles, so that distances are not those along them.
        """
        cosines = self.truth_grid.affine[:3, :3] / np.array(self.truth_grid.spacing_mm)
        lean = np.abs(cosines.T @ cosines - np.eye(3)).max()
        if lean > 1e-3:
            raise VolumeError(
                f"the axes of the grid are not at right angles (cosine {lean:.3g}), and distances between "
                "surfaces are for grids that are; resample both volumes to one, or choose other metrics"
            )
        return tuple(self.truth_grid.spacing_mm[axis] for axis in self._kept)

    @cached_property
    def diagonal_mm(self) -> float:
        """Length of the image's diagonal: no distance in it is larger."""
        sizes = [n * mm for n, mm in zip(self.truth_grid.shape, self.truth_grid.spacing_mm, strict=True)]
        return math.sqrt(sum(sizes[axis] ** 2 for axis in self._kept))

    @cached_property
    def joint(self) -> NDArray[np.int64]:
        """Confusion matrix over all labels of the two maps: rows true, columns predicted."""
        inside = self._foreground
        counted = joint_counts(inside.truth, inside.predicted, len(inside.values))
        counted[0, 0] += self.truth.size - inside.truth.size
        return counted

    def counts(self, label: int) -> Counts:
        """Voxels of a label; of one that neither map has, too."""
        if label not in self._index:
            return Counts(tp=0, fp=0, fn=0, tn=self.truth.size)
        return one_against_rest(self.joint, self._index[label])

    def masks(
        self, label: int, *, free: int | tuple[int, ...] = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where a label is predicted and where it is true, in the box that holds both.

        Args:
            label: one that either map may lack.
            free: voxels around the box, all False, for each axis.
        """
        if label not in self._index:
            empty = np.zeros([2 * f for f in self._around(free)], np.bool_)
            return empty, empty.copy()
        inside = self._foreground
        return self._mask(inside.predicted, label, free), self._mask(inside.truth, label, free)

    def box(self, label: int) -> Box:
        """The box of the image that holds a label in both maps; empty for one that neither has."""
        return self._foreground.boxes.get(label, (slice(0, 0),) * self.truth.ndim)

    def distances(self, label: int, surface: Surface) -> Distances:
        """Distances between the predicted and the true surface of a label."""
        key = (label, surface)
        if key not in self._distances:
            free = tuple(max(1, voxels) for voxels in margin(self.spacing_mm))
            predicted, truth = self.masks(label, free=free)
            self._distances[key] = surface_distances(predicted, truth, self.spacing_mm, surface)
        return self._distances[key]

    def pieces(self, label: int, connectivity: Connectivity, smallest_ml: float) -> Pieces:
        """The connected pieces of a label in both maps, in its ``box``.

        Args:
            label: one that either map may lack.
            connectivity: what makes voxels one piece.
            smallest_ml: smaller pieces are left out.
        """
        key = (label, connectivity, smallest_ml)
        if key not in self._pieces:
            predicted, truth = self.masks(label)
            smallest = smallest_ml / self.voxel_ml * (1 - 1e-9)  # a piece of just this size stays
            self._pieces[key] = find_pieces(predicted, truth, connectivity=connectivity, smallest=smallest)
        return self._pieces[key]

    def turned(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of ``masks`` with its axes in the order R, A, S and in these directions.

        For what depends, a little, on the order in which an array is walked through.
        """
        axes = nearest_axes(self.truth_grid.affine)
        world = {n: axes[axis] for n, axis in enumerate(self._kept)}
        order = sorted(world, key=lambda n: world[n][0])
        steps = tuple(slice(None, None, int(world[n][1])) for n in order)
        return mask.transpose(order)[steps]

    def to_mm(self, places: NDArray[np.float64]) -> list[tuple[float, float, float]]:
        """RAS+ mm of places (N, n) in voxels of the image."""
        whole = np.zeros((len(places), 3))
        whole[:, self._kept] = places
        affine = self.truth_grid.affine
        found = whole @ affine[:3, :3].T + affine[:3, 3]
        return [(float(x), float(y), float(z)) for x, y, z in found]

    @cached_property
    def _pieces(self) -> dict[tuple[int, Connectivity, float], Pieces]:
        return {}

    @cached_property
    def _distances(self) -> dict[tuple[int, Surface], Distances]:
        return {}

    @cached_property
    def _foreground(self) -> Foreground:
        return Foreground(self.predicted, self.truth)

    @cached_property
    def _index(self) -> dict[int, int]:
        return {value: index for index, value in enumerate(self._foreground.values)}

    def _mask(
        self, renumbered: NDArray[np.integer], label: int, free: int | tuple[int, ...]
    ) -> NDArray[np.bool_]:
        """Where a label is in a map of the foreground, in the label's box with free voxels around it."""
        origin = [side.start for side in self._foreground.box]
        box = tuple(
            slice(side.start - o, side.stop - o) for side, o in zip(self.box(label), origin, strict=True)
        )
        around = self._around(free)
        sizes = [s.stop - s.start + 2 * f for s, f in zip(box, around, strict=True)]
        mask = np.zeros(sizes, np.bool_)
        inner = tuple(slice(f, n - f) for f, n in zip(around, sizes, strict=True))
        np.equal(renumbered[box], self._index[label], out=mask[inner])
        return mask

    def _around(self, free: int | tuple[int, ...]) -> tuple[int, ...]:
        return (free,) * self.truth.ndim if isinstance(free, int) else free

    def _squeeze(self, array: NDArray[Any]) -> NDArray[Any]:
        shape = tuple(self.truth_grid.shape[axis] for axis in self._kept)
        return array.reshape(shape)


def _offset(predicted: Volume, truth: Volume) -> str:
    if predicted.shape != truth.shape:
        return ""
    shift = np.abs(predicted.affine - truth.affine).max()
    return f", and their affines differ by up to {shift:.4g}"

"""The connected pieces of a label, lesions say, in both maps, and how they overlap."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

Connectivity = Literal["faces", "edges", "corners"]
"""Voxels are of one piece if they share a face, a face or an edge, or any of these or a corner."""

_AXES: dict[Connectivity, Literal[1, 2, 3]] = {"faces": 1, "edges": 2, "corners": 3}
"""Along how many axes a neighbour may lie one voxel further."""
_CC3D: dict[Connectivity, Literal[6, 18, 26]] = {"faces": 6, "edges": 18, "corners": 26}


@dataclass(frozen=True, eq=False, kw_only=True)
class Pieces:
    """Pieces of one label, numbered from 1 in each map.

    Args:
        predicted: number of the piece in each voxel of a box, 0 outside.
        truth: the same shape.
    """

    predicted: NDArray[np.integer]
    truth: NDArray[np.integer]

    @cached_property
    def overlap(self) -> NDArray[np.int64]:
        """(T + 1, P + 1) voxels that each pair of pieces shares; row and column 0 are the rest of the box."""
        rows, columns = int(self.truth.max(initial=0)) + 1, int(self.predicted.max(initial=0)) + 1
        joint = self.truth.astype(np.intp).ravel() * columns + self.predicted.ravel()
        return np.bincount(joint, minlength=rows * columns).reshape(rows, columns)

    @property
    def true_voxels(self) -> NDArray[np.int64]:
        """(T,) size of each true piece."""
        return np.asarray(self.overlap[1:].sum(axis=1))

    @property
    def predicted_voxels(self) -> NDArray[np.int64]:
        """(P,) size of each predicted piece."""
        return np.asarray(self.overlap[:, 1:].sum(axis=0))

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """(T, P) intersection over union of each pair of pieces."""
        shared = self.overlap[1:, 1:]
        union = self.true_voxels[:, None] + self.predicted_voxels[None] - shared
        return shared / union

    def match(self, above: float) -> list[tuple[int, int]]:
        """Pairs (true, predicted) of indices from 0, one to one, with an IoU above a threshold.

        From 0.5 on, no piece has a choice; below, the sum of the IoUs is as large as it can be.
        """
        fitting = np.where(self.iou > above, self.iou, 0)
        rows, columns = linear_sum_assignment(fitting, maximize=True)
        return [(int(t), int(p)) for t, p in zip(rows, columns, strict=True) if fitting[t, p] > 0]


def find_pieces(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], *, connectivity: Connectivity, smallest: float
) -> Pieces:
    """Number the pieces of two masks.

    Args:
        predicted: n-D.
        truth: the same shape.
        connectivity: what makes voxels one piece.
        smallest: pieces of fewer voxels are left out, in both.
    """
    return Pieces(
        predicted=_number(predicted, connectivity, smallest), truth=_number(truth, connectivity, smallest)
    )


def _number(mask: NDArray[np.bool_], connectivity: Connectivity, smallest: float) -> NDArray[np.integer]:
    if not mask.any():
        return np.zeros(mask.shape, np.uint8)
    numbers: NDArray[np.integer]
    if sum(size > 1 for size in mask.shape) == 3 == mask.ndim:
        numbers = cc3d.connected_components(mask, connectivity=_CC3D[connectivity])
    else:
        # On planes cc3d (4.1.1) numbers voxels that the mask does not hold, and it fails on lines.
        structure = ndimage.generate_binary_structure(mask.ndim, min(_AXES[connectivity], mask.ndim))
        numbers, _ = ndimage.label(mask, structure)
    kept = np.bincount(numbers.ravel()) >= smallest
    kept[0] = False
    renumbered = np.where(kept, np.cumsum(kept), 0).astype(numbers.dtype)
    kept_alone: NDArray[np.integer] = renumbered[numbers]
    return kept_alone

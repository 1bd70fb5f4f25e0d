"""Metrics of a label's centreline and of the band along its border."""

import math
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair
from medseg.comparison.surfaces import border


class CentrelineDice(PairMetric):
    """Harmonic mean of how much of each centreline the other mask holds (Shit 2021).

    For vessels and other tubes: a short gap costs little Dice, and here what it cuts off. Centrelines are
    topological skeletons (3-D: Lee 1994, 2-D: Zhang 1984) of the mask turned to RAS, without regard to the
    voxel size.
    """

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        if not c.predicted or not c.true:
            return math.nan if c.predicted == c.true else 0.0
        predicted, truth = (pair.turned(mask) for mask in pair.masks(label))
        precision, sensitivity = _held(predicted, truth), _held(truth, predicted)
        return 2 * precision * sensitivity / (precision + sensitivity) if precision and sensitivity else 0.0


@dataclass(frozen=True, kw_only=True)
class BoundaryIoU(PairMetric):
    """IoU of the bands along the inside of both borders (Cheng 2021), for large objects.

    Args:
        width_mm: a voxel is in the band if a voxel outside is at most this far; border voxels always are.
            0 stands for 2 % of the image's diagonal, as in the paper, which counts pixels of a chessboard.
    """

    width_mm: float = 0.0

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        width_mm = self.width_mm or 0.02 * pair.diagonal_mm
        ours, theirs = (_band(mask, pair.spacing_mm, width_mm) for mask in pair.masks(label, free=1))
        union = int((ours | theirs).sum())
        return int((ours & theirs).sum()) / union if union else math.nan


def _held(thin: NDArray[np.bool_], by: NDArray[np.bool_]) -> float:
    """The part of a mask's centreline that another mask holds."""
    flat = thin.reshape(thin.shape + (1,) * max(0, 2 - thin.ndim))
    line = skeletonize(flat).reshape(thin.shape)  # type: ignore[no-untyped-call]  # it has no types
    # Nothing is left of a few very small shapes; they are their own centreline then.
    line = line if line.any() else thin
    return int((line & by).sum()) / int(line.sum())


def _band(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...], width_mm: float) -> NDArray[np.bool_]:
    # In float32: a band whose width is a whole number of voxels must not lose them to rounding.
    voxel_mm = spacing_mm if mask.ndim > 1 else spacing_mm[0]  # edt takes a number for a single axis
    depth_mm = edt.edt(np.ascontiguousarray(mask), anisotropy=voxel_mm)
    return np.asarray(mask & ((depth_mm <= width_mm * (1 + 1e-5)) | border(mask)))

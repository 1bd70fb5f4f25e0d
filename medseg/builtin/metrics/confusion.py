"""Metrics of the whole map and its background, from the confusion matrix p: rows true, columns predicted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.comparison.metric import MapMetric
from medseg.comparison.pair import Pair


class PixelAccuracy(MapMetric):
    """sum_i p_ii / sum_ij p_ij: the part of all voxels that have the right label."""

    def of_map(self, pair: Pair) -> float:
        """From 0 to 1."""
        return float(np.trace(pair.joint) / pair.joint.sum())


class MeanPixelAccuracy(MapMetric):
    """mean_i p_ii / sum_j p_ij over the labels that the truth has: the mean recall.

    One survey calls it a mean over predicted labels, which would be the mean precision.
    """

    def of_map(self, pair: Pair) -> float:
        """From 0 to 1."""
        true = pair.joint.sum(axis=1)
        return float((np.diag(pair.joint)[true > 0] / true[true > 0]).mean())


@dataclass(frozen=True, kw_only=True)
class MeanIoU(MapMetric):
    """Mean IoU over the labels that either map has; one that only one map has counts 0.

    Args:
        background: whether label 0 counts as one of them, as is usual outside medicine.
    """

    background: bool = True

    def of_map(self, pair: Pair) -> float:
        """From 0 to 1; NaN without a label."""
        present, iou = _iou(pair.joint)
        present[0] &= self.background
        return float(iou[present].mean()) if present.any() else float("nan")


class FrequencyWeightedIoU(MapMetric):
    """sum_i (sum_j p_ij) IoU_i / sum_ij p_ij: mean IoU, weighted by how frequent a label truly is."""

    def of_map(self, pair: Pair) -> float:
        """From 0 to 1."""
        present, iou = _iou(pair.joint)
        true = pair.joint.sum(axis=1)
        return float((true[present] * iou[present]).sum() / true.sum())


def _iou(joint: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which labels either map has, and the IoU of each."""
    both = np.diag(joint)
    union = joint.sum(axis=0) + joint.sum(axis=1) - both
    return union > 0, both / np.maximum(union, 1)

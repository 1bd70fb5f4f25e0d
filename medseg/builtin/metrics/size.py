"""How much of a label there is, and where it is centred."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.builtin.metrics.overlap import ratio
from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair


class PredictedVolume(PairMetric):
    """The predicted volume. The table has the true one beside every score."""

    def of_label(self, pair: Pair, label: int) -> float:
        """In mL."""
        return pair.counts(label).predicted * pair.voxel_ml


class VolumeDifference(PairMetric):
    """Predicted and true volume, their difference without its sign."""

    def of_label(self, pair: Pair, label: int) -> float:
        """In mL."""
        c = pair.counts(label)
        return abs(c.predicted - c.true) * pair.voxel_ml


class RelativeVolumeDifference(PairMetric):
    """(P - T) / T with its sign: above 0 where too much is predicted; NaN where there is nothing to find."""

    def of_label(self, pair: Pair, label: int) -> float:
        """From -1 up."""
        c = pair.counts(label)
        return ratio(c.predicted - c.true, c.true)


class VolumeSimilarity(PairMetric):
    """1 - |P - T| / (P + T): how alike in size, wherever they lie (Taha and Hanbury 2015)."""

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        return 1 - ratio(abs(c.predicted - c.true), c.predicted + c.true)


@dataclass(frozen=True, kw_only=True)
class CentroidDistance(PairMetric):
    """Distance between the centres of mass of the predicted and the true label."""

    def of_label(self, pair: Pair, label: int) -> float:
        """In mm; infinite where one side lacks the label, NaN where both do."""
        c = pair.counts(label)
        if not c.predicted or not c.true:
            return math.nan if c.predicted == c.true else math.inf
        predicted, truth = (_centre(mask) for mask in pair.masks(label))
        return float(np.linalg.norm((predicted - truth) * pair.spacing_mm))


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean index along each axis."""
    axes = range(mask.ndim)
    along = [mask.sum(axis=tuple(a for a in axes if a != axis)) for axis in axes]
    return np.array([np.arange(len(n)) @ n / n.sum() for n in along])

"""Whether probabilities mean what they say.

They come from a probability map (``medseg evaluate --probabilities``). A label map is taken as certain, with
probabilities 0 and 1, so that its Brier score and its calibration error are its part of wrong voxels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair

Region = Literal["image", "box"]
_SLAB = 1 << 22  # voxels that are widened to float64 at a time


@dataclass(frozen=True, kw_only=True)
class BrierScore(PairMetric):
    """Mean of (p - y)^2 over voxels: 0 is perfect (Brier 1950).

    Args:
        region: ``image``: all voxels, most of them easy background; ``box``: those of the box that holds the
            label as true and as predicted.
    """

    region: Region = "image"

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        total = voxels = 0.0
        for p, y in _voxels(pair, label, self.region):
            total += float(((p - y) ** 2).sum())
            voxels += p.size
        return total / voxels if voxels else math.nan


@dataclass(frozen=True, kw_only=True)
class ExpectedCalibrationError(PairMetric):
    """Mean distance between the probability and how often it is so, over bins of equal width (Naeini 2015).

    Args:
        bins: of the probability of the label, from 0 to 1.
        region: as in ``BrierScore``.
    """

    bins: int = 15
    region: Region = "image"

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        said, so, voxels = np.zeros((3, self.bins))
        for p, y in _voxels(pair, label, self.region):
            place = np.minimum((p * self.bins).astype(np.intp), self.bins - 1)
            said += np.bincount(place, p, self.bins)
            so += np.bincount(place, y, self.bins)
            voxels += np.bincount(place, minlength=self.bins)
        return float(np.abs(said - so).sum() / voxels.sum()) if voxels.any() else math.nan


def _voxels(
    pair: Pair, label: int, region: Region
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Probability and truth of voxels, some at a time."""
    box = pair.box(label) if region == "box" else (slice(None),) * pair.truth.ndim
    truth, known = pair.truth[box].ravel(), pair.probabilities.get(label)
    predicted: NDArray[Any] = pair.predicted[box].ravel() if known is None else known[box].ravel()
    for start in range(0, truth.size, _SLAB):
        some = slice(start, start + _SLAB)
        p = predicted[some] == label if known is None else predicted[some]
        yield p.astype(np.float64), (truth[some] == label).astype(np.float64)

"""Distances between the predicted and the true surface of a label, in mm.

Tools differ by what they take as a surface and by how they join its two directions; ``convention``
says both. Of ``voxels``, ``max-directed``, ``pooled`` and ``mean-directed``, the surface is the
voxels with a face on the outside, each counting once. In ``area-weighted`` it is the surface that
marching cubes lays through the corners of voxels, and each point counts by its area in mm2 (2-D:
length in mm), so that the numbers depend less on the voxel's size and shape.

A label that one side lacks is infinitely far away (``nsd``: nothing is within the tolerance); where both
lack it, the value is NaN.
"""

import math
from dataclasses import dataclass
from typing import Literal

from medseg.comparison.distribution import Distribution
from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair

Direction = Literal["both", "truth-to-predicted", "predicted-to-truth"]


def _directions(pair: Pair, label: int, convention: str, direction: Direction) -> list[Distribution]:
    found = pair.distances(label, "area" if convention == "area-weighted" else "voxels")
    both = {
        "truth-to-predicted": found.truth_to_predicted,
        "predicted-to-truth": found.predicted_to_truth,
    }
    return list(both.values()) if direction == "both" else [both[direction]]


def _pool(directions: list[Distribution]) -> Distribution:
    return directions[0] if len(directions) == 1 else directions[0] + directions[1]


def _defined(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _largest(values: list[float]) -> float:
    return max(_defined(values), default=math.nan)


def _mean(values: list[float]) -> float:
    kept = _defined(values)
    return sum(kept) / len(kept) if kept else math.nan


@dataclass(frozen=True, kw_only=True)
class HausdorffDistance(PairMetric):
    """The largest distance from a point of one surface to the other surface (Huttenlocher 1993).

    One voxel decides it.

    Args:
        convention: what the surface is.
        direction: of the distances; the larger of both if ``both``.
    """

    convention: Literal["voxels", "area-weighted"] = "voxels"
    direction: Direction = "both"

    def of_label(self, pair: Pair, label: int) -> float:
        """In mm."""
        return _largest([d.largest() for d in _directions(pair, label, self.convention, self.direction)])


@dataclass(frozen=True, kw_only=True)
class HausdorffPercentile(PairMetric):
    """A percentile of the distances between the surfaces instead of the largest.

    Args:
        convention: ``max-directed`` takes a percentile for each direction, and the larger one (MONAI,
            Metrics Reloaded); ``pooled`` takes one percentile of the distances of both directions together
            (MedPy); ``area-weighted`` is ``max-directed`` with areas for weights, without interpolation
            (DeepMind's surface-distance).
        percent: which percentile.
        direction: of the distances.
    """

    convention: Literal["max-directed", "pooled", "area-weighted"] = "max-directed"
    percent: float = 95.0
    direction: Direction = "both"

    def of_label(self, pair: Pair, label: int) -> float:
        """In mm."""
        directions = _directions(pair, label, self.convention, self.direction)
        if self.convention == "pooled":
            return _pool(directions).percentile(self.percent, "interpolated")
        rule: Literal["interpolated", "first-to-reach"]
        rule = "first-to-reach" if self.convention == "area-weighted" else "interpolated"
        return _largest([d.percentile(self.percent, rule) for d in directions])


@dataclass(frozen=True, kw_only=True)
class AverageSurfaceDistance(PairMetric):
    """Average symmetric surface distance: the mean of the distances between the surfaces (Heimann 2009).

    Args:
        convention: ``pooled`` is the mean over all border voxels of both (MONAI, Metrics Reloaded);
            ``mean-directed`` the mean of the two directions' means (panoptica); ``area-weighted`` is
            pooled with areas for weights, and with a ``direction`` what DeepMind's surface-distance returns.
        direction: of the distances.
    """

    convention: Literal["pooled", "mean-directed", "area-weighted"] = "pooled"
    direction: Direction = "both"

    def of_label(self, pair: Pair, label: int) -> float:
        """In mm."""
        directions = _directions(pair, label, self.convention, self.direction)
        if self.convention == "mean-directed":
            return _mean([d.mean() for d in directions])
        return _pool(directions).mean()


@dataclass(frozen=True, kw_only=True)
class MeanAverageSurfaceDistance(PairMetric):
    """Mean of the two directions' mean distances, so that a small surface weighs as much as a large one.

    Args:
        convention: what the surface is.
    """

    convention: Literal["voxels", "area-weighted"] = "voxels"

    def of_label(self, pair: Pair, label: int) -> float:
        """In mm."""
        return _mean([d.mean() for d in _directions(pair, label, self.convention, "both")])


@dataclass(frozen=True, kw_only=True)
class SurfaceDice(PairMetric):
    """Normalised surface Dice: the part of both surfaces that is within a tolerance of the other one.

    The tolerance is what two experts differ by; one voxel or a default says little.

    Args:
        tolerance_mm: of the distance, included.
        convention: ``pooled`` counts the border voxels of both together (MONAI); ``mean-directed`` takes the
            mean of the two fractions (panoptica); ``area-weighted`` weights by area (Nikolov 2021,
            DeepMind's surface-distance).
        direction: of the distances; one alone is the surface overlap of DeepMind's.
    """

    tolerance_mm: float = 1.0
    convention: Literal["pooled", "mean-directed", "area-weighted"] = "pooled"
    direction: Direction = "both"

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        directions = _directions(pair, label, self.convention, self.direction)
        within, total = [d.within(self.tolerance_mm) for d in directions], [d.total for d in directions]
        if self.convention == "mean-directed":
            return _mean([w / t if t else math.nan for w, t in zip(within, total, strict=True)])
        return sum(within) / sum(total) if sum(total) else math.nan

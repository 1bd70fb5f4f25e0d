"""Distances from one surface to another, as their distinct values and how much surface has each.

On a grid few distances are distinct, so that this is small however large the surface is, and every
metric and tolerance is read from it without another pass.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Percentile = Literal["interpolated", "first-to-reach"]

_ROUNDING = 1e-9  # 3 voxels of 0.1 mm are 0.30000000000000004 mm, and within 0.3 mm all the same


@dataclass(frozen=True, eq=False)
class Distribution:
    """Distances and their weights.

    Args:
        mm: (N,) distinct, rising; infinite where there is nothing to measure to.
        weight: (N,) positive: numbers of border voxels, or areas in mm2.
    """

    mm: NDArray[np.float64]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, mm: NDArray[np.float64], weight: NDArray[np.float64]) -> "Distribution":
        """Sort distances and join equal ones; entries without weight are left out."""
        kept = weight > 0
        distinct, where = np.unique(mm[kept], return_inverse=True)
        joined = np.bincount(where, weight[kept], len(distinct))
        return cls(distinct, joined.astype(np.float64))

    @classmethod
    def everywhere(cls, mm: float, weight: float) -> "Distribution":
        """The same distance at all of a surface; nothing, if the surface has no extent."""
        return cls.of(np.array([mm]), np.array([weight]))

    def __add__(self, other: "Distribution") -> "Distribution":
        """Both surfaces in one pool."""
        return Distribution.of(np.append(self.mm, other.mm), np.append(self.weight, other.weight))

    @cached_property
    def total(self) -> float:
        """Weight of the whole surface."""
        return float(self.weight.sum())

    def mean(self) -> float:
        """Mean distance in mm; NaN without a surface."""
        return float(self.mm @ self.weight) / self.total if self.total else math.nan

    def largest(self) -> float:
        """Largest distance in mm; NaN without a surface."""
        return float(self.mm[-1]) if self.mm.size else math.nan

    def within(self, mm: float) -> float:
        """Weight of what is at most this far away."""
        return float(self.weight[self.mm <= mm * (1 + _ROUNDING)].sum())

    def percentile(self, percent: float, rule: Percentile) -> float:
        """A percentile in mm; NaN without a surface.

        Args:
            percent: from 0 to 100.
            rule: ``interpolated`` between the two nearest of the single distances, as ``numpy.percentile``
                does, for weights that are numbers of voxels; ``first-to-reach``: the first distance up to
                which that part of the weight lies.
        """
        if not self.mm.size:
            return math.nan
        cumulative = np.cumsum(self.weight)
        if rule == "first-to-reach":
            index = np.searchsorted(cumulative / cumulative[-1], percent / 100)
            return float(self.mm[min(int(index), len(self.mm) - 1)])
        rank = percent / 100 * (self.total - 1)
        low, high = (
            float(self.mm[np.searchsorted(cumulative, place, side="right")])
            for place in (math.floor(rank), math.ceil(rank))
        )
        return low if low == high else low + (high - low) * (rank - math.floor(rank))

"""Overlap losses: soft counts of hits, false positives and misses, as one ratio for each label.

With p the predicted probability of a label and y its truth, summed over voxels:
TP = sum y p, FP = sum (1-y) p, FN = sum y (1-p).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.builtin.losses.probabilities import Regions
from medseg.builtin.losses.region import RegionLoss
from medseg.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class OverlapLoss(RegionLoss):
    """A ratio of soft counts, finite for a label that is absent from truth and prediction.

    Args:
        batch: count over the whole batch, and not item by item: steadier where patches are
            small and a label is often absent from one.
        smooth: s > 0, added to numerator and denominator; a label that is neither there nor
            predicted then costs 0.

    Raises:
        OptionError: ``smooth`` is not positive.
    """

    batch: bool = False
    smooth: float = 1e-5

    def __post_init__(self) -> None:
        if not self.smooth > 0:
            raise OptionError(f"smooth must be above 0, or an absent label would give 0/0; got {self.smooth}")

    def total(self, values: Tensor) -> Tensor:
        """Sum (B,R,*S) over voxels to (B,R), or to (1,R) over the batch too."""
        sums = values.flatten(2).sum(dim=2)
        return sums.sum(dim=0, keepdim=True) if self.batch else sums


@dataclass(frozen=True, kw_only=True)
class Dice(OverlapLoss):
    """1 - mean_c (2 sum y p + s) / (sum y + sum p + s).

    The gradient is large where y and p are both small: one false voxel beside a small lesion
    moves the network as much as many beside a large organ.

    Args:
        squared: denominators sum y^2 + sum p^2, as in V-Net (Milletari et al., 2016).
    """

    squared: bool = False

    def per_label(self, regions: Regions) -> Tensor:
        """The Dice loss (B,R) of each label."""
        p, y = regions.probability, regions.truth
        size = p * p + y if self.squared else p + y  # y is 0 or 1: its own square
        return 1 - (2 * self.total(y * p) + self.smooth) / (self.total(size) + self.smooth)


@dataclass(frozen=True, kw_only=True)
class Tversky(OverlapLoss):
    """1 - mean_c (TP + s) / (TP + alpha FP + beta FN + s).

    alpha = beta = 1/2 is Dice and alpha = beta = 1 is IoU, up to the place of s. The defaults
    are those of the lesion study of Salehi et al. (2017): a miss costs more than a false alarm.

    Args:
        alpha: >= 0, what a false positive costs.
        beta: >= 0, what a miss costs.

    Raises:
        OptionError: a negative ``alpha`` or ``beta``.
    """

    alpha: float = 0.3
    beta: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0 or self.beta < 0:
            raise OptionError(f"alpha and beta are costs >= 0; got alpha={self.alpha}, beta={self.beta}")

    def per_label(self, regions: Regions) -> Tensor:
        """The Tversky loss (B,R) of each label."""
        p, y = regions.probability, regions.truth
        hits = self.total(y * p)
        false_positives = self.total(p) - hits
        misses = self.total(y) - hits
        wrong = self.alpha * false_positives + self.beta * misses
        return 1 - (hits + self.smooth) / (hits + wrong + self.smooth)


@dataclass(frozen=True, kw_only=True)
class IoU(OverlapLoss):
    """1 - mean_c (sum y p + s) / (sum (y + p - y p) + s).

    Often printed with a factor of 2 in the numerator; a perfect prediction would then cost -1.
    """

    def per_label(self, regions: Regions) -> Tensor:
        """The IoU loss (B,R) of each label."""
        p, y = regions.probability, regions.truth
        hits = self.total(y * p)
        return 1 - (hits + self.smooth) / (self.total(p + y) - hits + self.smooth)


@dataclass(frozen=True, kw_only=True)
class FocalTversky(Tversky):
    """mean_c (1 - T_c)^(1/gamma), with T_c the Tversky index (Abraham and Khan, 2019).

    Args:
        gamma: > 0; above 1 labels that are far from right are pushed less and those that are
            nearly right more.

    Raises:
        OptionError: ``gamma`` is not positive.
    """

    gamma: float = 4 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gamma > 0:
            raise OptionError(f"focal-tversky wants gamma > 0; got {self.gamma}")

    def per_label(self, regions: Regions) -> Tensor:
        """The focal Tversky loss (B,R) of each label."""
        tversky = super().per_label(regions)
        # The root's slope is infinite at 0, which is where a perfect prediction is.
        return tversky.clamp_min(torch.finfo(tversky.dtype).eps) ** (1 / self.gamma)

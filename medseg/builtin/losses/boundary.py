"""Boundary loss: each voxel's probability, times how far outside the true region it lies."""

from dataclasses import dataclass

from torch import Tensor

from medseg.builtin.losses.distances import axis_spacing, edge_distances
from medseg.builtin.losses.overlap import Dice
from medseg.builtin.losses.probabilities import Regions
from medseg.builtin.losses.region import RegionLoss
from medseg.builtin.losses.sums import WeightedSum


@dataclass(frozen=True, kw_only=True)
class SignedDistance(RegionLoss):
    """mean_x phi(x) p(x), with phi the signed distance from the true region's edge.

    phi is the distance to the region outside it, and inside it minus the distance to the
    outside less one voxel (the smallest spacing), so that the rim is 0 (Kervadec et al., 2019).
    It is negative for a good prediction. A label with no edge, absent or everywhere, costs 0.

    Args:
        spacing_mm: voxel size along the axes of *S; empty: distances in voxels.
    """

    spacing_mm: tuple[float, ...] = ()

    def per_label(self, regions: Regions) -> Tensor:
        """The mean (B,R) over the counted voxels, in mm or voxels."""
        spacing = axis_spacing(self.spacing_mm, dims=regions.truth.ndim - 2)
        inside, outside = edge_distances(regions.truth > 0, spacing)
        phi = outside - (inside - min(spacing)).clamp_min(0)
        counted = regions.counted.flatten(2).sum(dim=2).clamp_min(1)
        return (regions.probability * phi).flatten(2).sum(dim=2) / counted


def boundary(
    *,
    boundary_weight: float = 0.01,
    dice_weight: float = 1.0,
    spacing_mm: tuple[float, ...] = (),
    include_background: bool = False,
    class_weights: tuple[float, ...] = (),
    ignore_label: int = -1,
) -> WeightedSum:
    """Boundary loss beside Dice, as published.

    The paper raises ``boundary_weight`` by 0.01 an epoch; a loss here has no clock, so that
    schedule is the caller's.

    Args:
        boundary_weight: >= 0, of the distance term.
        dice_weight: >= 0, of the Dice term.
        spacing_mm: voxel size along the axes of *S; empty: distances in voxels.
        include_background: score label 0 too; a single channel has no map for it.
        class_weights: of both terms, one for each label, the background's first; empty: all 1.
        ignore_label: voxels with this label contribute nothing; distances treat them as outside.

    Raises:
        OptionError: a weight out of range.
    """
    distance = SignedDistance(
        spacing_mm=spacing_mm,
        include_background=include_background,
        class_weights=class_weights,
        ignore_label=ignore_label,
    )
    dice = Dice(include_background=include_background, class_weights=class_weights, ignore_label=ignore_label)
    return WeightedSum((boundary_weight, distance), (dice_weight, dice))

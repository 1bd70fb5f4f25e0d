"""Hausdorff loss by distance transforms: an error costs more the further it is from an edge."""

from dataclasses import dataclass

from torch import Tensor

from medseg.builtin.losses.distances import axis_spacing, edge_distances
from medseg.builtin.losses.overlap import Dice
from medseg.builtin.losses.probabilities import Regions
from medseg.builtin.losses.region import RegionLoss
from medseg.builtin.losses.sums import WeightedSum


@dataclass(frozen=True, kw_only=True)
class ErrorDistance(RegionLoss):
    """mean_x (p - y)^2 (d_p^a + d_y^a), d the distance from an edge (Karimi and Salcudean, 2020).

    d_y is taken from the true region and d_p from the predicted one, p > 1/2; a region with no
    edge has d = 0. No gradient flows through the distances.

    Args:
        exponent: a > 0.
        spacing_mm: voxel size along the axes of *S; empty: distances in voxels.
    """

    exponent: float = 2.0
    spacing_mm: tuple[float, ...] = ()

    def per_label(self, regions: Regions) -> Tensor:
        """The mean (B,R) over the counted voxels, in mm or voxels to the power a."""
        spacing = axis_spacing(self.spacing_mm, dims=regions.truth.ndim - 2)
        cost = sum(
            sum(edge_distances(region, spacing)) ** self.exponent
            for region in (regions.probability > 0.5, regions.truth > 0)
        )
        error = (regions.probability - regions.truth) ** 2
        counted = regions.counted.flatten(2).sum(dim=2).clamp_min(1)
        return (error * cost).flatten(2).sum(dim=2) / counted


def hausdorff_dt(
    *,
    hausdorff_weight: float = 1.0,
    dice_weight: float = 1.0,
    exponent: float = 2.0,
    spacing_mm: tuple[float, ...] = (),
    include_background: bool = False,
    class_weights: tuple[float, ...] = (),
    ignore_label: int = -1,
) -> WeightedSum:
    """Hausdorff loss beside Dice, as published.

    The paper sets the weights once an epoch so that both terms are equally large; a loss here
    has no clock, so that is the caller's.

    Args:
        hausdorff_weight: >= 0, of the distance term.
        dice_weight: >= 0, of the Dice term.
        exponent: > 0; how much more a far error costs than a near one.
        spacing_mm: voxel size along the axes of *S; empty: distances in voxels.
        include_background: score label 0 too; a single channel has no map for it.
        class_weights: of both terms, one for each label, the background's first; empty: all 1.
        ignore_label: voxels with this label contribute nothing; distances treat them as outside.

    Raises:
        OptionError: a weight out of range.
    """
    distance = ErrorDistance(
        exponent=exponent,
        spacing_mm=spacing_mm,
        include_background=include_background,
        class_weights=class_weights,
        ignore_label=ignore_label,
    )
    dice = Dice(include_background=include_background, class_weights=class_weights, ignore_label=ignore_label)
    return WeightedSum((hausdorff_weight, distance), (dice_weight, dice))

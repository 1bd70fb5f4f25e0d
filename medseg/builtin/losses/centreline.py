"""Centreline Dice: does the prediction's skeleton lie in the truth, and the truth's in the prediction?"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medseg.builtin.losses.overlap import Dice, OverlapLoss
from medseg.builtin.losses.probabilities import Regions
from medseg.builtin.losses.sums import WeightedSum


def soft_skeleton(image: Tensor, *, iterations: int) -> Tensor:
    """A skeleton of a map of probabilities, by differentiable erosion and opening.

    Args:
        image: (B,R,*S) in [0, 1].
        iterations: erosions; at least the radius of the thickest tube, in voxels.

    Returns:
        (B,R,*S) in [0, 1].
    """
    skeleton = torch.zeros_like(image)
    for _ in range(iterations + 1):
        smaller = _erode(image)
        ridge = F.relu(image - _dilate(smaller))  # what an opening takes away
        skeleton = skeleton + ridge * (1 - skeleton)
        image = smaller
    return skeleton


def _erode(image: Tensor) -> Tensor:
    """Least of a voxel and its face neighbours; outside the image nothing erodes."""
    pool = F.max_pool3d if image.ndim == 5 else F.max_pool2d
    dims = image.ndim - 2
    along = [[3 if other == axis else 1 for other in range(dims)] for axis in range(dims)]
    least = [-pool(-image, size, stride=1, padding=[n // 2 for n in size]) for size in along]
    return torch.stack(least).amin(dim=0)


def _dilate(image: Tensor) -> Tensor:
    """Greatest of a voxel and all its neighbours, corners included."""
    pool = F.max_pool3d if image.ndim == 5 else F.max_pool2d
    return pool(image, 3, stride=1, padding=1)


@dataclass(frozen=True, kw_only=True)
class CentrelineDice(OverlapLoss):
    """1 - mean_c 2 P S / (P + S), of the skeletons' precision P and sensitivity S (Shit et al., 2021).

    P = (sum skeleton(p) y + s) / (sum skeleton(p) + s), S = (sum skeleton(y) p + s) / (sum skeleton(y) + s).

    Args:
        iterations: erosions; at least the radius of the thickest tube, in voxels.
        smooth: s > 0.
    """

    iterations: int = 3
    smooth: float = 1.0

    def per_label(self, regions: Regions) -> Tensor:
        """The centreline loss (B,R) of each label."""
        p, y = regions.probability, regions.truth
        of_p = soft_skeleton(p, iterations=self.iterations)
        of_y = soft_skeleton(y, iterations=self.iterations)
        precision = (self.total(of_p * y) + self.smooth) / (self.total(of_p) + self.smooth)
        sensitivity = (self.total(of_y * p) + self.smooth) / (self.total(of_y) + self.smooth)
        return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def cldice(
    *,
    cldice_weight: float = 0.5,
    dice_weight: float = 0.5,
    iterations: int = 3,
    batch: bool = False,
    smooth: float = 1.0,
    include_background: bool = False,
    class_weights: tuple[float, ...] = (),
    ignore_label: int = -1,
) -> WeightedSum:
    """Centreline Dice beside Dice, as published: for vessels, airways and other tubes.

    Args:
        cldice_weight: >= 0, of the centreline term; the paper goes up to one half.
        dice_weight: >= 0, of the Dice term.
        iterations: erosions; at least the radius of the thickest tube, in voxels.
        batch: count over the whole batch, and not item by item.
        smooth: > 0, in numerators and denominators of both terms.
        include_background: score label 0 too; a single channel has no map for it.
        class_weights: of both terms, one for each label, the background's first; empty: all 1.
        ignore_label: voxels with this label contribute nothing; skeletons end at them.

    Raises:
        OptionError: a weight or ``smooth`` out of range.
    """
    centreline = CentrelineDice(
        iterations=iterations,
        batch=batch,
        smooth=smooth,
        include_background=include_background,
        class_weights=class_weights,
        ignore_label=ignore_label,
    )
    dice = Dice(
        batch=batch,
        smooth=smooth,
        include_background=include_background,
        class_weights=class_weights,
        ignore_label=ignore_label,
    )
    return WeightedSum((cldice_weight, centreline), (dice_weight, dice))

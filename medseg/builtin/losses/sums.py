"""Losses that are a sum of others: dice-ce and dice-focal, and the sum itself."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from medseg.builtin.losses.cross_entropy import CrossEntropy
from medseg.builtin.losses.focal import Focal
from medseg.builtin.losses.overlap import Dice, Tversky
from medseg.errors import OptionError
from medseg.plugin import Output

LossFunction = Callable[[Output, Tensor], Tensor]


class WeightedSum:
    """A sum of losses, each times its weight; one of weight 0 is not computed.

    Args:
        terms: pairs of a weight >= 0 and a loss.

    Raises:
        OptionError: a negative weight, or nothing but zeros.
    """

    def __init__(self, *terms: tuple[float, LossFunction]) -> None:
        weights = [weight for weight, _ in terms]
        if min(weights) < 0 or not any(weights):
            raise OptionError(f"a sum of losses wants weights >= 0, one of them above 0; got {weights}")
        self.terms = [(weight, loss) for weight, loss in terms if weight]

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar."""
        first, *others = (weight * loss(output, target) for weight, loss in self.terms)
        return sum(others, start=first)


def dice_ce(
    *,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
    squared: bool = False,
    batch: bool = False,
    smooth: float = 1e-5,
    include_background: bool = False,
    class_weights: tuple[float, ...] = (),
    ignore_label: int = -1,
) -> WeightedSum:
    """Dice, which sees the region, plus cross entropy, whose slope is smooth (Isensee et al., 2021).

    Args:
        dice_weight: >= 0, of the Dice term.
        ce_weight: >= 0, of the cross entropy.
        squared: Dice with denominators sum y^2 + sum p^2.
        batch: Dice counts over the whole batch, and not item by item.
        smooth: > 0, in Dice's numerator and denominator.
        include_background: Dice scores label 0 too; the cross entropy always does.
        class_weights: of both terms, one for each label, the background's first.
        ignore_label: voxels with this label contribute nothing.

    Raises:
        OptionError: a weight or ``smooth`` out of range.
    """
    dice = Dice(
        squared=squared,
        batch=batch,
        smooth=smooth,
        include_background=include_background,
        class_weights=class_weights,
        ignore_label=ignore_label,
    )
    ce = CrossEntropy(class_weights=class_weights, ignore_label=ignore_label)
    return WeightedSum((dice_weight, dice), (ce_weight, ce))


@dataclass(frozen=True, kw_only=True)
class DiceFocal:
    """C - sum_c TP_c / (TP_c + alpha FP_c + beta FN_c) - (lambda / N) sum y (1-p)^2 log p.

    The first sum runs over the C scored labels (not their mean), the second over the N counted
    voxels, each at its true label, the background included; log p is negative, so both terms
    are positive. AnatomyNet (Zhu et al., 2019) scores the background in the first sum as well:
    ``include_background=True``.

    Args:
        alpha: >= 0, what a false positive costs.
        beta: >= 0, what a miss costs.
        focal_weight: lambda >= 0.
        batch: count over the whole batch, and not item by item.
        smooth: > 0, added to numerator and denominator of the first term.
        include_background: score label 0 in the first term too.
        class_weights: of both terms, one for each label, the background's first; empty: all 1.
        ignore_label: voxels with this label contribute nothing.

    Raises:
        OptionError: a number out of range.
    """

    alpha: float = 0.5
    beta: float = 0.5
    focal_weight: float = 0.5
    batch: bool = False
    smooth: float = 1e-5
    include_background: bool = False
    class_weights: tuple[float, ...] = ()
    ignore_label: int = -1

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar.

        Raises:
            ContractError: shapes or labels that do not fit the logits.
            OptionError: not one weight for each label.
        """
        overlap = Tversky(
            alpha=self.alpha,
            beta=self.beta,
            batch=self.batch,
            smooth=self.smooth,
            include_background=self.include_background,
            class_weights=self.class_weights,
            ignore_label=self.ignore_label,
        )
        focal = Focal(gamma=2.0, alpha=0.5, class_weights=self.class_weights, ignore_label=self.ignore_label)
        channels = output.logits.shape[1]
        scored = channels if channels == 1 or self.include_background else channels - 1
        # alpha = 1/2 in the focal loss halves every label alike: twice it is the plain sum.
        return WeightedSum((scored, overlap), (2 * self.focal_weight, focal))(output, target)

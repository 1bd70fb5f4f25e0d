"""What every loss that compares regions has in common: one value for each label, then their mean."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from medseg.builtin.losses.label_weights import mean_over_labels
from medseg.builtin.losses.probabilities import Regions, read_regions
from medseg.plugin import Output


@dataclass(frozen=True, kw_only=True)
class RegionLoss(ABC):
    """A mean over the scored labels and the batch.

    Args:
        include_background: score label 0 too; a single channel has no map for it.
        class_weights: one for each label, the background's first, scored or not; empty: all 1.
        ignore_label: voxels with this label contribute nothing.
    """

    include_background: bool = False
    class_weights: tuple[float, ...] = ()
    ignore_label: int = -1

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar.

        Raises:
            ContractError: shapes or labels that do not fit the logits.
            OptionError: not one weight for each label.
        """
        regions = read_regions(
            output,
            target,
            include_background=self.include_background,
            ignore_label=self.ignore_label,
        )
        return mean_over_labels(self.per_label(regions), self.class_weights, labels=regions.labels)

    @abstractmethod
    def per_label(self, regions: Regions) -> Tensor:
        """The loss (B,R) of each scored label; (1,R) if the batch was pooled."""

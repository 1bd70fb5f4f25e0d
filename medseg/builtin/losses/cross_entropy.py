"""Cross entropy: the mean surprise at the true label, plain or with every label weighing the same."""

from dataclasses import dataclass

from torch import Tensor

from medseg.builtin.losses.label_weights import given_or_balanced_weights, given_weights, mean_over_voxels
from medseg.builtin.losses.probabilities import read_voxels
from medseg.plugin import Output


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """-sum_c w_c y_c log p_c, a weighted mean over voxels; for one channel, binary cross entropy.

    Args:
        class_weights: one for each label, the background's first; empty: all 1.
        ignore_label: voxels with this label contribute nothing.
    """

    class_weights: tuple[float, ...] = ()
    ignore_label: int = -1

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar in nats.

        Raises:
            ContractError: shapes or labels that do not fit the logits.
            OptionError: not one weight for each label.
        """
        voxels = read_voxels(output, target, ignore_label=self.ignore_label)
        weights = given_weights(self.class_weights, labels=voxels.labels, like=voxels.log_likelihood)
        return mean_over_voxels(-voxels.log_likelihood, weights[voxels.label] * voxels.counted)


@dataclass(frozen=True, kw_only=True)
class WeightedCrossEntropy:
    """-w y log p - (1-y) log(1-p), with w = n_neg / n_pos, divided by the sum of the weights.

    A rare label then weighs as much as a common one: without ``class_weights`` the loss is the
    mean over the labels that are present of their mean cross entropy. For K classes the weight
    of class c is N / (K n_c), whose ratio for two classes is n_neg / n_pos.

    Some surveys print the second term as (1-y) log p; that loss would reward false positives.

    Args:
        class_weights: one for each label, the background's first, in place of those from the
            counts of the batch; the larger a label's weight, the fewer of its voxels are missed.
        ignore_label: voxels with this label contribute nothing and are not counted.
    """

    class_weights: tuple[float, ...] = ()
    ignore_label: int = -1

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar in nats.

        Raises:
            ContractError: shapes or labels that do not fit the logits.
            OptionError: not one weight for each label.
        """
        voxels = read_voxels(output, target, ignore_label=self.ignore_label)
        weights = given_or_balanced_weights(self.class_weights, voxels)
        return mean_over_voxels(-voxels.log_likelihood, weights[voxels.label] * voxels.counted)

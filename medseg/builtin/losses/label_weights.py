"""How much each label and each voxel counts in a mean.

``class_weights`` holds one weight for each label, the background's first; a single sigmoid
channel has two labels. Every mean here is divided by the sum of its weights, as
``torch.nn.functional.cross_entropy`` does, so that weights shift the emphasis and not the scale.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medseg.builtin.losses.probabilities import Voxels
from medseg.errors import OptionError


def given_weights(class_weights: Sequence[float], *, labels: int, like: Tensor) -> Tensor:
    """The weights (labels,) that the options ask for; ones if there are none.

    Raises:
        OptionError: not one for each label, or one that is negative or not finite.
    """
    if not class_weights:
        return like.new_ones(labels)
    if len(class_weights) != labels:
        raise OptionError(
            f"class_weights holds {len(class_weights)} numbers {tuple(class_weights)}, but the network "
            f"tells {labels} labels apart: give one for each, the background's first"
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in class_weights):
        raise OptionError(f"class_weights are finite and not negative; got {tuple(class_weights)}")
    return like.new_tensor(class_weights)


def given_or_balanced_weights(class_weights: Sequence[float], voxels: Voxels) -> Tensor:
    """The weights (labels,) of the options, or if there are none N / (labels x n_c).

    n_c is the label's voxel count; an absent label gets 0. The ratio for two labels is
    n_neg / n_pos, and the mean over the N voxels is 1 when every label is there.

    Raises:
        OptionError: see ``given_weights``.
    """
    if class_weights:
        return given_weights(class_weights, labels=voxels.labels, like=voxels.log_likelihood)
    of_label = voxels.label[voxels.counted > 0]
    counts = torch.bincount(of_label, minlength=voxels.labels).to(voxels.log_likelihood.dtype)
    return torch.where(counts > 0, counts.sum() / (voxels.labels * counts.clamp_min(1)), 0)


def mean_over_voxels(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of (B,*S) values, a scalar; 0 if nothing has weight (all ignored, say)."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, 1)


def mean_over_labels(values: Tensor, class_weights: Sequence[float], *, labels: int) -> Tensor:
    """Mean over the batch, and weighted mean over the R scored labels, of values (B,R).

    Raises:
        OptionError: see ``given_weights``; or no scored label has a weight.
    """
    if not class_weights:
        return values.mean()
    weights = given_weights(class_weights, labels=labels, like=values)[labels - values.shape[1] :]
    if not any(class_weights[labels - values.shape[1] :]):
        raise OptionError(
            f"class_weights {tuple(class_weights)} give every scored label the weight 0: give one of them "
            "a weight, or score the background as well"
        )
    return (values.mean(dim=0) * weights).sum() / weights.sum()

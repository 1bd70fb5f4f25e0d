"""Focal loss: cross entropy in which voxels that are already right fade out (Lin et al., 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.builtin.losses.label_weights import given_weights, mean_over_voxels
from medseg.builtin.losses.probabilities import read_voxels
from medseg.errors import OptionError
from medseg.plugin import Output


@dataclass(frozen=True, kw_only=True)
class Focal:
    """-a (1-p)^g y log p - (1-a) p^g (1-y) log(1-p), a mean over voxels.

    For K classes: -a_c (1-p_c)^g log p_c of the true class c, where a_c is ``alpha`` for every
    class but the background, which gets 1 - ``alpha``. With g = 0 and a = 1/2 it is half of the
    cross entropy.

    Args:
        gamma: g >= 0; the larger, the less an easy voxel counts.
        alpha: a, in [0, 1]; the weight of the foreground.
        class_weights: further factors, one for each label, the background's first; empty: all 1.
        ignore_label: voxels with this label contribute nothing.

    Raises:
        OptionError: ``gamma`` or ``alpha`` out of range.
    """

    gamma: float = 2.0
    alpha: float = 0.25
    class_weights: tuple[float, ...] = ()
    ignore_label: int = -1

    def __post_init__(self) -> None:
        if self.gamma < 0 or not 0 <= self.alpha <= 1:
            raise OptionError(
                f"focal wants gamma >= 0 and 0 <= alpha <= 1; got gamma={self.gamma}, alpha={self.alpha}"
            )

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar.

        Raises:
            ContractError: shapes or labels that do not fit the logits.
            OptionError: not one weight for each label.
        """
        voxels = read_voxels(output, target, ignore_label=self.ignore_label)
        log_p = voxels.log_likelihood
        # 1 - p by expm1 keeps its digits near p = 1; the floor keeps the slope finite for gamma < 1.
        missing = -torch.expm1(log_p)
        faded = missing.clamp_min(torch.finfo(log_p.dtype).tiny) ** self.gamma
        weights = given_weights(self.class_weights, labels=voxels.labels, like=log_p)
        balance = torch.full_like(weights, self.alpha)
        balance[0] = 1 - self.alpha
        return mean_over_voxels(-(weights * balance)[voxels.label] * faded * log_p, voxels.counted)

"""From logits and labels to what losses compare: probabilities, truth, and which voxels count.

Half precision ends here. A sum over a volume passes 65504, float16's largest number, so
everything after this file is float32 (or float64, if the logits are).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medseg.errors import ContractError
from medseg.plugin import Output


@dataclass(frozen=True, kw_only=True, eq=False)
class Voxels:
    """Each voxel by itself.

    Args:
        log_likelihood: (B,*S), log of the probability given to the voxel's true label.
        label: (B,*S) int64, 0 where the voxel is ignored.
        counted: (B,*S), 1 or, where the voxel is ignored, 0.
        labels: how many labels there are; two for a single sigmoid channel.
    """

    log_likelihood: Tensor
    label: Tensor
    counted: Tensor
    labels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """Each label as a region; ignored voxels are 0 in all three.

    Args:
        probability: (B,R,*S) in [0, 1], for the R labels that are scored.
        truth: (B,R,*S), 0 or 1.
        counted: (B,1,*S), 1 or, where the voxel is ignored, 0.
        labels: how many labels there are, scored or not; two for a single sigmoid channel.
    """

    probability: Tensor
    truth: Tensor
    counted: Tensor
    labels: int


def read_voxels(output: Output, target: Tensor, *, ignore_label: int) -> Voxels:
    """Score each voxel's true label.

    Args:
        output: logits (B,K,*S); K = 1 is a sigmoid for label 1, more are a softmax.
        target: (B,*S) labels 0..K-1 (0..1 for K = 1) or ``ignore_label``.
        ignore_label: the label of voxels that contribute nothing.

    Raises:
        ContractError: shapes that do not fit, or a label that the network has no channel for.
    """
    logits, label, counted = _readable(output, target, ignore_label)
    if logits.shape[1] == 1:
        log_likelihood = F.logsigmoid(torch.where(label == 1, logits[:, 0], -logits[:, 0]))
    else:
        log_likelihood = F.log_softmax(logits, dim=1).gather(1, label[:, None])[:, 0]
    return Voxels(
        log_likelihood=log_likelihood,
        label=label,
        counted=counted.to(logits.dtype),
        labels=max(2, logits.shape[1]),
    )


def read_regions(output: Output, target: Tensor, *, include_background: bool, ignore_label: int) -> Regions:
    """Make one map of probability and one of truth for each scored label.

    Args:
        output: logits (B,K,*S); K = 1 is a sigmoid for label 1, more are a softmax.
        target: (B,*S) labels 0..K-1 (0..1 for K = 1) or ``ignore_label``.
        include_background: score label 0 too; a single channel has no map for it.
        ignore_label: the label of voxels that contribute nothing.

    Raises:
        ContractError: shapes that do not fit, or a label that the network has no channel for.
    """
    logits, label, counted = _readable(output, target, ignore_label)
    channels = logits.shape[1]
    if channels == 1:
        probability, first = logits.sigmoid(), 1
    else:
        first = 0 if include_background else 1
        probability = logits.softmax(dim=1)[:, first:]
    scored = torch.arange(first, max(2, channels), device=label.device)
    truth = label[:, None] == scored.view(-1, *[1] * (label.ndim - 1))
    mask = counted[:, None].to(logits.dtype)
    return Regions(
        probability=probability * mask,
        truth=truth.to(logits.dtype) * mask,
        counted=mask,
        labels=max(2, channels),
    )


def _readable(output: Output, target: Tensor, ignore_label: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of at least single precision, labels, and a mask; ignored voxels are 0 in all three."""
    logits = output.logits
    if logits.ndim not in (4, 5):
        raise ContractError(
            f"a loss wants logits (B,K,*S) with 2 or 3 spatial axes; got shape {tuple(logits.shape)}"
        )
    wanted = (logits.shape[0], *logits.shape[2:])
    if target.shape != wanted or target.is_floating_point():
        raise ContractError(
            f"a target for logits of shape {tuple(logits.shape)} holds integers of shape {wanted}; got "
            f"{target.dtype} of shape {tuple(target.shape)}. Pass label numbers, not one channel a label"
        )
    counted = target != ignore_label
    labels = max(2, logits.shape[1])
    foreign = counted & ((target < 0) | (target >= labels))
    if foreign.any():
        raise ContractError(
            f"the target holds the label {int(target[foreign][0])}, but the {logits.shape[1]} channel(s) of "
            f"logits stand for labels 0 to {labels - 1}: map the labels, add channels, or ignore one with "
            "ignore_label"
        )
    if logits.dtype != torch.float64:
        logits = logits.float()
    # Filled before any arithmetic: an infinite logit in an ignored voxel must not reach a gradient.
    return logits.masked_fill(~counted[:, None], 0), target.long().masked_fill(~counted, 0), counted

"""How far two answers of a network agree: in labels, in logits, and by the Dice of what they segment."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

ENOUGH = 1000  # voxels that a label must have in a window before its Dice says anything


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One answer held against another.

    Args:
        labels: fraction of voxels with the same label.
        difference: largest difference of a logit, as a fraction of the largest logit expected.
        dice: the least Dice of the labels that have ``ENOUGH`` voxels on either side, background aside;
            None if none has.
    """

    labels: float
    difference: float
    dice: float | None


def agreement(answer: Tensor, expected: Tensor, *, regions: bool = False) -> Agreement:
    """Compare logits (1,K,*S) with those expected.

    Args:
        answer, expected: of the same window.
        regions: each channel is a region of its own, and the background has none.
    """
    if answer.shape != expected.shape or not bool(answer.isfinite().all()):
        return Agreement(labels=0.0, difference=float("inf"), dice=0.0)
    masks = [_masks(logits, regions=regions) for logits in (answer, expected)]
    same = (masks[0] == masks[1]).all(1)
    difference = float((answer - expected).abs().max()) / max(float(expected.abs().max()), 1e-12)
    return Agreement(
        labels=float(same.double().mean()), difference=difference, dice=_least_dice(_counts(*masks))
    )


def dice_over(pairs: Iterable[tuple[Tensor, Tensor]], *, regions: bool = False) -> float | None:
    """The least Dice, as of ``Agreement``, over several windows as one.

    Args:
        pairs: logits (1,K,*S) of each window, and those expected.
        regions: as of ``agreement``.
    """
    total: Tensor | None = None
    for answer, expected in pairs:
        if answer.shape != expected.shape or not bool(answer.isfinite().all()):
            return 0.0
        counts = _counts(*(_masks(logits, regions=regions) for logits in (answer, expected)))
        total = counts if total is None else total + counts
    return None if total is None else _least_dice(total)


def _masks(logits: Tensor, *, regions: bool) -> Tensor:
    """Where each label or region is (1,K,*S), the background left out."""
    if regions or logits.shape[1] == 1:
        return logits > 0
    classes = torch.arange(1, logits.shape[1], device=logits.device)
    return logits.argmax(1, keepdim=True) == classes.view(1, -1, *[1] * (logits.ndim - 2))


def _counts(answer: Tensor, expected: Tensor) -> Tensor:
    """Voxels of each label in one, in the other, and in both: (3,K)."""
    axes = (0, *range(2, answer.ndim))
    return torch.stack([mask.sum(axes) for mask in (answer, expected, answer & expected)])


def _least_dice(counts: Tensor) -> float | None:
    answer, expected, both = counts
    enough = torch.maximum(answer, expected) >= ENOUGH
    return float((2 * both / (answer + expected))[enough].min()) if bool(enough.any()) else None

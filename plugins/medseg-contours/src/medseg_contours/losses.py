"""Losses that contours are trained with."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.errors import ContractError, OptionError
from medseg.plugin import Output


@dataclass(frozen=True, kw_only=True)
class ContourLoss:
    """Dice of the region inside the last contour, plus Dice of the region inside the first.

    Hatamizadeh et al. 2020, arXiv:2007.11691. Without the second term a first contour that lies
    beyond the reach of the evolution would never be told so.

    Args:
        first_weight: >= 0, of the first contour's term.
        smooth: > 0, in numerator and denominator; makes an absent class harmless.
        ignore_label: voxels with this label contribute nothing.

    Raises:
        OptionError: a number out of range.
    """

    first_weight: float = 1.0
    smooth: float = 1.0
    ignore_label: int = -1

    def __post_init__(self) -> None:
        if self.first_weight < 0 or not self.smooth > 0:
            raise OptionError(
                f"contour wants first_weight >= 0 and smooth > 0; got {self.first_weight} and {self.smooth}"
            )

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare the extras ``prob`` and ``prob0`` (B,K-1,*S) with labels (B,*S); a scalar."""
        last, first = output.extras["prob"], output.extras["prob0"]
        truth, counted = regions_of(target, last, ignore_label=self.ignore_label)
        loss = self._dice(last, truth, counted)
        if self.first_weight:
            loss = loss + self.first_weight * self._dice(first, truth, counted)
        return loss

    def _dice(self, p: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
        axes = tuple(range(2, p.ndim))
        p = p.float() * counted
        hits = (p * truth).sum(dim=axes)
        sizes = p.sum(dim=axes) + truth.sum(dim=axes)
        return (1 - (2 * hits + self.smooth) / (sizes + self.smooth)).mean()


@dataclass(frozen=True, kw_only=True)
class ActiveContourLoss:
    """Length of the predicted contour + lambda (mu sum u (1-v)^2 + sum (1-u) v^2), in means per voxel.

    X. Chen et al.: Learning active contour models for medical image segmentation. CVPR 2019. Here
    for 2-D and 3-D, with both slopes taken at the same place; u is the probability, v the truth. It can
    be unstable from random weights: begin with a network trained by another loss.

    Args:
        region_weight: lambda >= 0.
        inside_weight: mu >= 0, of voxels that are predicted and should not be.
        spacing_mm: voxel sides along *S; empty: all 1. The contour's length is then in smallest sides.
        floor: > 0, added under the root, without which flat regions have infinite gradients.
        ignore_label: voxels with this label contribute nothing.

    Raises:
        OptionError: a number out of range.
    """

    region_weight: float = 1.0
    inside_weight: float = 1.0
    spacing_mm: tuple[float, ...] = ()
    floor: float = 1e-6
    ignore_label: int = -1

    def __post_init__(self) -> None:
        if min(self.region_weight, self.inside_weight) < 0 or not self.floor >= 1e-8:
            raise OptionError(
                "active-contour wants weights >= 0 and a floor of at least 1e-8; got "
                f"{self.region_weight}, {self.inside_weight} and {self.floor}"
            )
        if any(not (math.isfinite(h) and h > 0) for h in self.spacing_mm):
            raise OptionError(f"active-contour wants a positive spacing_mm; got {self.spacing_mm}")

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar."""
        logits = output.logits.float()
        u = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1:]
        v, counted = regions_of(target, u, ignore_label=self.ignore_label)
        region = self.inside_weight * u * (1 - v).square() + (1 - u) * v.square()
        total = (self._length(u) + self.region_weight * region) * counted
        return total.sum() / (counted.sum() * u.shape[1]).clamp_min(1)

    def _length(self, u: Tensor) -> Tensor:
        """|grad u| by forward differences from the voxel, less what the floor adds: (B,K,*S)."""
        dims = u.ndim - 2
        spacing = self.spacing_mm or (1.0,) * dims
        if len(spacing) != dims:
            raise OptionError(
                f"active-contour has a spacing_mm of {len(spacing)} numbers for {dims} axes: give one an axis"
            )
        squared = torch.full_like(u, self.floor)
        for axis, h in enumerate(spacing):
            last = u.narrow(axis + 2, u.shape[axis + 2] - 1, 1)
            slope = torch.diff(u, dim=axis + 2, append=last) * (min(spacing) / h)
            squared = squared + slope.square()
        return squared.sqrt() - math.sqrt(self.floor)


def regions_of(target: Tensor, like: Tensor, *, ignore_label: int) -> tuple[Tensor, Tensor]:
    """Labels (B,*S) as regions of the foreground.

    Args:
        target: labels 0 (background) to K-1, or ``ignore_label``.
        like: (B,K-1,*S), a map for each class but the background.
        ignore_label: the label of voxels that do not count.

    Returns:
        (B,K-1,*S), 1 where the voxel has the label; and (B,1,*S), 1 where it counts.

    Raises:
        ContractError: the shapes do not fit, or a label has no map.
    """
    if target.shape != (like.shape[0], *like.shape[2:]):
        raise ContractError(
            f"a target for maps of shape {tuple(like.shape)} has the shape "
            f"{(like.shape[0], *like.shape[2:])}; got {tuple(target.shape)}"
        )
    counted = target != ignore_label
    foreign = counted & ((target < 0) | (target > like.shape[1]))
    if bool(foreign.any()):
        raise ContractError(
            f"the target holds the label {int(target[foreign][0])}, but the maps stand for labels 1 to "
            f"{like.shape[1]}: map the labels, add channels, or ignore one with ignore_label"
        )
    labels = torch.arange(1, like.shape[1] + 1, device=target.device).view(-1, *[1] * (target.ndim - 1))
    mask = counted[:, None].to(torch.float32)
    return (target[:, None] == labels).to(torch.float32) * mask, mask

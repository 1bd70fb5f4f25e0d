"""Distances from a region's edge, computed outside the gradient."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from medseg.errors import OptionError


def axis_spacing(spacing_mm: Sequence[float], *, dims: int) -> tuple[float, ...]:
    """The voxel size along each of ``dims`` axes; 1 (distances in voxels) if none is given.

    Raises:
        OptionError: not one positive number for each axis.
    """
    spacing = tuple(spacing_mm) or (1.0,) * dims
    if len(spacing) != dims or not all(0 < size < float("inf") for size in spacing):
        raise OptionError(
            f"spacing_mm wants one positive number for each of the {dims} axes, or none at all for "
            f"distances in voxels; got {tuple(spacing_mm)}"
        )
    return spacing


def edge_distances(region: Tensor, spacing_mm: Sequence[float]) -> tuple[Tensor, Tensor]:
    """How far each voxel is from the other side of the region's edge.

    Computed by scipy on the CPU, one map at a time.

    Args:
        region: (B,R,*S) bool.
        spacing_mm: one number for each axis of *S.

    Returns:
        Two float32 maps (B,R,*S) in mm: from a voxel inside to the nearest centre outside (0 for
        voxels outside), and from a voxel outside to the nearest centre inside (0 inside). Both
        are 0 everywhere where the region is empty or full, and so has no edge.
    """
    masks = region.detach().cpu().numpy()
    inside, outside = (np.zeros(masks.shape, np.float32) for _ in range(2))
    for item in np.ndindex(masks.shape[:2]):
        mask: NDArray[np.bool_] = masks[item]
        if mask.any() and not mask.all():
            inside[item] = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
            outside[item] = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    return torch.from_numpy(inside).to(region.device), torch.from_numpy(outside).to(region.device)

"""Signed distance: exact from a mask, and restored during an evolution.

Positive inside. M. Sussman, P. Smereka, S. Osher: A level set approach for computing solutions to
incompressible two-phase flow. J. Comput. Phys. 114, 1994. The sign: D. Peng et al.: A PDE-based
fast local level set method. J. Comput. Phys. 155, 1999.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from medseg_contours.differences import one_sided_slopes, slope_length

PSEUDO_STEP = 0.3  # in units; the upwind scheme is stable up to 1 / D
FLOOR = 1e-4  # under the root of the upwind slope


def restore_distance(phi: Tensor, steps: Sequence[Tensor], *, times: int = 3, eta: float = 0.1) -> Tensor:
    """Bring |grad phi| back towards 1 and leave the front where it is.

    Peng's sign, phi / sqrt(phi^2 + |grad phi|^2), slows down where phi is steep; Sussman's own
    lets the front of a small ball drift.

    Args:
        phi: (B,K,*S) in units of the smallest step.
        steps: of the lattice.
        times: sub-steps; the distance is right up to 0.3 units further from the front with each.
        eta: floor of |grad phi|.
    """
    for _ in range(times):
        # Taken anew each time, as Peng's is: a sign kept from a plateau lets gradients grow.
        sign = phi * (phi.square() + slope_length(phi, steps, eta=eta).square()).rsqrt()
        side = sign.detach().sign()
        squared = torch.full_like(phi, FLOOR)
        for axis, h in enumerate(steps):
            before, behind = one_sided_slopes(phi, axis, h)
            squared = squared + torch.maximum((side * before).relu(), (-side * behind).relu()).square()
        phi = phi - PSEUDO_STEP * sign * (squared.sqrt() - 1)
    return phi


def signed_distance(mask: NDArray[Any], spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance to the border of a mask in mm, positive inside.

    The border is taken to lie half the smallest step before the nearest voxel of the other side.

    Args:
        mask: (*S), true inside. Nowhere or everywhere true: the field of view's diagonal, with its sign.
        spacing_mm: (D,).
    """
    inside = np.asarray(mask, dtype=bool)
    if not inside.any() or inside.all():
        far = float(np.linalg.norm(np.multiply(inside.shape, spacing_mm)))
        return np.full(inside.shape, far if inside.any() else -far, dtype=np.float32)
    half = min(spacing_mm) / 2
    within = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    beyond = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    distance: NDArray[np.float32] = np.where(inside, within - half, half - beyond).astype(np.float32)
    return distance

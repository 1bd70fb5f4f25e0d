"""Where the voxels of a training patch come from: an affine map and a smooth displacement, in mm."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

Points = NDArray[np.float32]
"""(I, J, K, 3) positions."""


@dataclass(frozen=True, kw_only=True)
class Deformation:
    """How far a patch may be turned, stretched and bent.

    Args:
        rotation_degrees: largest angle about each axis.
        scaling: largest relative change of size along each axis.
        shearing: largest tangent of a shear.
        displacement_mm: largest standard deviation of the smooth displacement along each axis.
        control_mm: distance of the points at which the displacement is drawn.
        mirror: along the first axis (left and right in RAS), half the time.

    Raises:
        ValueError: no distance between those points.
    """

    rotation_degrees: float = 20.0
    scaling: float = 0.2
    shearing: float = 0.1
    displacement_mm: float = 4.0
    control_mm: float = 32.0
    mirror: bool = True

    def __post_init__(self) -> None:
        if not self.control_mm > 0:
            raise ValueError(f"control_mm is {self.control_mm}; wanted above 0")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One deformation: source positions in mm about the patch's middle voxel, and whether it is mirrored."""

    offsets_mm: Points
    mirrored: bool


def draw_deformation(
    shape: Sequence[int], spacing_mm: Sequence[float], limits: Deformation, rng: np.random.Generator
) -> Drawn:
    """Draw where each voxel of a patch comes from.

    Args:
        shape: (I, J, K) of the patch.
        spacing_mm: of the patch.
        limits: what may happen.
        rng: of this sample alone, so that the sample does not depend on what was drawn before.

    Returns:
        offsets_mm (I, J, K, 3) in the source, relative to the voxel that the patch's voxel I // 2, J // 2,
        K // 2 comes from.
    """
    # About a voxel, not about the patch's middle, which of an even size lies between voxels: a patch that
    # is not deformed then takes voxels as they are, at the same spacing, and not the mean of eight.
    axes = [(np.arange(n) - n // 2) * mm for n, mm in zip(shape, spacing_mm, strict=True)]
    regular = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)
    mirrored = bool(limits.mirror and rng.random() < 0.5)
    offsets = regular @ _draw_matrix(limits, rng, mirrored=mirrored).T.astype(np.float32)
    if limits.displacement_mm > 0:
        extent = [n * mm for n, mm in zip(shape, spacing_mm, strict=True)]
        nodes = [max(2, math.ceil(mm / limits.control_mm) + 1) for mm in extent]
        strength = rng.uniform(0, limits.displacement_mm)
        offsets += np.stack([smooth_field(shape, nodes, rng) * strength for _ in range(3)], axis=-1)
    return Drawn(offsets_mm=offsets, mirrored=mirrored)


def in_voxels(offsets_mm: Points, centre: Sequence[float], spacing_mm: Sequence[float]) -> Points:
    """Positions (*S, 3) in mm around a voxel of a volume, as voxels of that volume."""
    scale, shift = np.array(spacing_mm, dtype=np.float32), np.array(centre, dtype=np.float32)
    return np.asarray(offsets_mm / scale + shift, dtype=np.float32)


def smooth_field(shape: Sequence[int], nodes: Sequence[int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Normal numbers on a coarse grid, brought to (I, J, K) by cubic and then linear interpolation."""
    coarse = rng.standard_normal([int(n) for n in nodes], dtype=np.float32)
    middle = ndimage.zoom(coarse, 4, order=3, mode="nearest", grid_mode=True)
    fine = F.interpolate(
        torch.from_numpy(middle)[None, None], size=tuple(shape), mode="trilinear", align_corners=False
    )
    return fine[0, 0].numpy()


def sample_at(volume: Tensor, voxels: Points, *, nearest: bool) -> Tensor:
    """Values of a volume (I, J, K) at positions (*S, 3) in voxels; 0 outside."""
    # Along an axis of one voxel grid_sample finds that voxel everywhere.
    volume = F.pad(volume, [side for n in reversed(volume.shape) for side in (0, int(n == 1))])
    last = torch.tensor([n - 1 for n in volume.shape], dtype=torch.float32)
    # grid_sample wants positions from -1 to 1, the last axis first.
    places = (torch.from_numpy(voxels) / last * 2 - 1).flip(-1)
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(volume[None, None], places[None], mode=mode, align_corners=True)[0, 0]


def _draw_matrix(limits: Deformation, rng: np.random.Generator, *, mirrored: bool) -> NDArray[np.float64]:
    """Rotation, shear, scaling and perhaps a mirror as one 3 x 3 matrix."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(rng.uniform(-1, 1, 3) * limits.rotation_degrees)):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    shear = np.eye(3)
    shear[[0, 0, 1], [1, 2, 2]] = rng.uniform(-1, 1, 3) * limits.shearing
    scale = 1 + rng.uniform(-1, 1, 3) * limits.scaling
    scale[0] *= -1 if mirrored else 1
    return np.asarray(matrix @ shear @ np.diag(scale))

"""A network says in which direction and how far the nearest boundary lies; the contour goes there.

C. Rupprecht, E. Huaroc, M. Baust, N. Navab: Deep active contours. 2016, arXiv:1607.05074. There
a network looks at patches along one contour; here it predicts the field everywhere, in 2-D and 3-D.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from medseg.errors import OptionError
from medseg.plugin import Output
from medseg_contours.differences import Lattice, lattice_of, one_sided_slopes
from medseg_contours.distance import restore_distance
from medseg_contours.losses import regions_of
from medseg_contours.regions import heaviside

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class VectorFieldHead(nn.Module):
    """A first contour and, for each class, a field v of vectors to the nearest boundary.

    phi follows dphi/dt = -v . grad phi, upwind, for as long as the field carries it: at a boundary v is 0.

    Args:
        num_features: F.
        out_channels: K, background included; 1 for a single sigmoid channel.
        dims: 2 or 3.
        n_iter: steps of the contour.
        max_dist: in smallest voxel sides: the largest |phi| at first, and the longest component of v.

    Raises:
        OptionError: a number out of range.
    """

    def __init__(
        self,
        num_features: int,
        out_channels: int,
        *,
        dims: int = 3,
        n_iter: int = 15,
        max_dist: float = 10.0,
    ) -> None:
        super().__init__()
        if n_iter < 0 or not max_dist > 0:
            raise OptionError(f"vector-field wants n_iter >= 0 and max_dist > 0; got {n_iter} and {max_dist}")
        self.single = out_channels == 1
        self.n_iter, self.max_dist = n_iter, max_dist
        self.fronts = max(out_channels - 1, 1)
        self.maps = CONVOLUTION[dims](num_features, (1 + dims) * self.fronts, 1)

    def forward(self, features: Tensor, image: Tensor, spacing_mm: Tensor) -> Output:
        """Score features (B,F,*S) on their image (B,C,*S), with spacing (D,) or (B,D).

        Returns:
            logits (B,K,*S), 0 for the background. Extras: ``phi``, ``phi0`` in mm, ``prob``,
            ``prob0``, each (B,K-1,*S); ``field`` (B,D(K-1),*S) in mm, axis by axis for each class;
            ``spacing_mm`` (B,D).
        """
        raw = self.maps(features)
        with torch.autocast(raw.device.type, enabled=False):
            bounded = self.max_dist * torch.tanh(raw.float() / self.max_dist)
            lattice = lattice_of(spacing_mm, bounded)
            phi0, field = bounded[:, : self.fronts], bounded[:, self.fronts :]
            dims = image.ndim - 2
            by_axis = field.reshape(len(field), self.fronts, dims, *field.shape[2:])
            phi = phi0
            for _ in range(self.n_iter):
                phi = advect(phi, by_axis.unbind(dim=2), lattice)
            phi = restore_distance(phi, lattice.steps)
            logits = phi if self.single else torch.cat((torch.zeros_like(phi[:, :1]), phi), dim=1)
            rows = torch.tensor(lattice.spacing_mm, device=phi.device).expand(phi.shape[0], dims)
            extras = {
                "phi": phi * lattice.unit_mm,
                "phi0": phi0 * lattice.unit_mm,
                "prob": heaviside(phi),
                "prob0": heaviside(phi0),
                "field": field * lattice.unit_mm,
                "spacing_mm": rows,
            }
        return Output(logits=logits, extras=extras)


def advect(phi: Tensor, vectors: Sequence[Tensor], lattice: Lattice) -> Tensor:
    """One upwind step along a field.

    The step's length is half a voxel for long vectors and proportional to short ones, so that the
    contour comes to rest where the field vanishes.

    Args:
        phi: (B,K,*S) in units.
        vectors: one component (B,K,*S) for each axis, in units.
        lattice: of the grid.
    """
    length = sum((v.square() for v in vectors), start=torch.full_like(phi, 1e-4)).sqrt()
    pace = 0.5 * torch.tanh(length) / length
    carried = torch.zeros_like(phi)
    for axis, (v, h) in enumerate(zip(vectors, lattice.steps, strict=True)):
        before, behind = one_sided_slopes(phi, axis, h)
        carried = carried + pace * (v.relu() * before - (-v).relu() * behind)
    return phi - carried


def vectors_to_boundary(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """From each voxel to the nearest point between inside and outside: (D,*S) in mm.

    Nowhere or everywhere inside: zeros, for there is no boundary to point to.
    """
    grid = np.indices(mask.shape)
    if not mask.any() or mask.all():
        return np.zeros(grid.shape, np.float32)
    sides = []
    for side in (mask, ~mask):
        nearest = ndimage.distance_transform_edt(
            side, sampling=spacing_mm, return_distances=False, return_indices=True
        )
        sides.append(nearest - grid)
    steps = np.reshape(spacing_mm, (-1, *[1] * mask.ndim))
    across = np.where(mask, sides[0], sides[1]) * steps  # to the nearest voxel of the other side
    length = np.linalg.norm(across, axis=0)
    vectors: NDArray[np.float32] = (across * (1 - min(spacing_mm) / 2 / length)).astype(np.float32)
    return vectors


@dataclass(frozen=True, kw_only=True)
class VectorFieldLoss:
    """Dice of the last and the first contour, plus the mean length of the field's error.

    The error is in mm divided by ``scale_mm`` and counts near the boundary only, where the contour passes.

    Args:
        field_weight: >= 0.
        scale_mm: > 0, an error of which costs as much as no overlap.
        near_mm: > 0, how far from the boundary the field counts.
        smooth: > 0, in Dice's numerator and denominator.

    Raises:
        OptionError: a number out of range.
    """

    field_weight: float = 1.0
    scale_mm: float = 10.0
    near_mm: float = 10.0
    smooth: float = 1.0

    def __post_init__(self) -> None:
        if self.field_weight < 0 or not min(self.scale_mm, self.near_mm, self.smooth) > 0:
            raise OptionError(
                "vector-field wants field_weight >= 0, scale_mm, near_mm and smooth > 0; got "
                f"{self.field_weight}, {self.scale_mm}, {self.near_mm} and {self.smooth}"
            )

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare ``prob``, ``prob0`` and ``field`` with labels (B,*S); a scalar."""
        truth, _ = regions_of(target, output.extras["prob"], ignore_label=-1)
        axes = tuple(range(2, truth.ndim))
        loss = truth.new_zeros(())
        for name in ("prob", "prob0"):
            p = output.extras[name]
            hits, sizes = (p * truth).sum(dim=axes), (p + truth).sum(dim=axes)
            loss = loss + (1 - (2 * hits + self.smooth) / (sizes + self.smooth)).mean()
        return loss + self.field_weight * self._field_error(output, truth)

    def _field_error(self, output: Output, truth: Tensor) -> Tensor:
        wanted = np.stack(
            [
                [vectors_to_boundary(mask, row) for mask in masks]
                for masks, row in zip(
                    truth.bool().cpu().numpy(), output.extras["spacing_mm"].tolist(), strict=True
                )
            ]
        )
        goal = torch.from_numpy(wanted).to(truth.device)  # (B,K-1,D,*S)
        field = output.extras["field"].reshape(goal.shape)
        distance = goal.square().sum(dim=2).sqrt()
        near = (distance > 0) & (distance <= self.near_mm)
        error = ((field - goal).square().sum(dim=2) + 1e-6).sqrt() / self.scale_mm
        mean: Tensor = (error * near).sum() / near.sum().clamp_min(1)
        return mean

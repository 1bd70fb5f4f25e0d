"""An outline as the length of rays from a point, whose energy a network draws; in 2-D.

D. Cheng, R. Liao, S. Fidler, R. Urtasun: DARNet: Deep active ray network for building segmentation.
CVPR 2019. It can neither cross itself nor show what no ray from the middle reaches.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medseg.errors import ContractError, OptionError
from medseg.plugin import Output
from medseg_contours import polygon
from medseg_contours.differences import Lattice, central_slope, lattice_of
from medseg_contours.losses import regions_of
from medseg_contours.snake import first_circle, polygon_output

SHORTEST = 0.5  # of a ray, in units


class RayHead(nn.Module):
    """Rays from the middle of the image grow or shrink to an object's outline.

        E = sum D(rho) + beta |rho''|^2 - kappa rho

    The maps are a 1x1 convolution of the features, with the authors' ranges: beta = tanh(0.005 b), here of a
    softplus so that it is not negative, and 0.1 kappa. It wants images with one object around the middle.
    Lengths are in smallest pixel sides.

    Args:
        num_features: F.
        out_channels: K, background included; 1 for a single sigmoid channel. One outline each.
        dims: 2.
        rays: L.
        n_iter: steps.
        radius_mm: of the rays at first; 0: a quarter of the image's shorter side.
        step: > 0, time step.

    Raises:
        OptionError: a number out of range, or other than two dimensions.
    """

    def __init__(
        self,
        num_features: int,
        out_channels: int,
        *,
        dims: int = 2,
        rays: int = 60,
        n_iter: int = 50,
        radius_mm: float = 0.0,
        step: float = 1.0,
    ) -> None:
        super().__init__()
        if dims != 2 or rays < 5 or n_iter < 0 or radius_mm < 0 or not step > 0:
            raise OptionError(
                "darnet wants dims=2, rays >= 5, n_iter >= 0, radius_mm >= 0 and step > 0; got "
                f"{dims}, {rays}, {n_iter}, {radius_mm} and {step}"
            )
        self.single = out_channels == 1
        self.fronts = max(out_channels - 1, 1)
        self.rays, self.n_iter, self.radius_mm, self.step = rays, n_iter, radius_mm, step
        self.maps = nn.Conv2d(num_features, 3 * self.fronts, 1)
        assert self.maps.bias is not None  # it was asked for
        nn.init.zeros_(self.maps.weight[self.fronts :])
        nn.init.zeros_(self.maps.bias[self.fronts :])

    def forward(self, features: Tensor, image: Tensor, spacing_mm: Tensor) -> Output:
        """Move rays by features (B,F,*S) of an image (B,C,*S), with spacing (2,) or (B,2).

        Returns:
            logits (B,K,*S): signed distance to the outline, 0 for the background. Extras: ``phi``, ``phi0``
            in mm, ``prob``, ``prob0``, each (B,K-1,*S); ``nodes`` (B,K-1,L,2) in mm from the first pixel's
            centre; ``rho`` (B,K-1,L) in mm; ``spacing_mm`` (B,2).
        """
        raw = self.maps(features)
        with torch.autocast(raw.device.type, enabled=False):
            data, b, kappa = raw.float().split(self.fronts, dim=1)
            lattice = lattice_of(spacing_mm, data)
            centre = polygon.middle(data.shape[2:], lattice)
            first = first_circle(data, lattice, nodes=self.rays, radius_mm=self.radius_mm)
            rho = (first - centre[:, :, None]).square().sum(dim=-1).sqrt()
            rho = move_rays(
                rho,
                data=data,
                beta=torch.tanh(0.005 * F.softplus(b)),
                kappa=0.1 * kappa,
                lattice=lattice,
                iterations=self.n_iter,
                step=self.step,
            )
            last = centre[:, :, None] + rho[..., None] * polygon.directions(self.rays, like=rho)
            output = polygon_output(last, first, image, lattice, single=self.single)
            rows = torch.tensor(lattice.spacing_mm, device=rho.device).expand(rho.shape[0], 2)
            extras = {**output.extras, "rho": rho * lattice.unit_mm[..., 0], "spacing_mm": rows}
            return Output(logits=output.logits, extras=extras)


def move_rays(
    rho: Tensor,
    *,
    data: Tensor,
    beta: Tensor,
    kappa: Tensor,
    lattice: Lattice,
    iterations: int,
    step: float = 1.0,
) -> Tensor:
    """Move ray lengths down their energy, implicitly in beta: the released explicit step wants dt = 2e-4.

    Where a ray ends outside the image its energies are 0, as the authors found necessary.

    Args:
        rho: (B,K,L) in units, from the middle of the maps.
        data: D (B,K,*S), low where the outline is.
        beta: >= 0 (B,K,*S), against bending.
        kappa: (B,K,*S), above 0 rays grow.
        lattice: of the maps.
        iterations: N.
        step: time step.

    Returns:
        (B,K,L) in units, no shorter than half a pixel.
    """
    slopes = [central_slope(data, axis, h) for axis, h in enumerate(lattice.steps)]
    ways = polygon.directions(rho.shape[-1], like=rho)  # (L,2)
    centre = polygon.middle(data.shape[2:], lattice)[:, :, None]
    eye = torch.eye(rho.shape[-1], dtype=rho.dtype, device=rho.device)
    second = eye.roll(-1, dims=0) - 2 * eye + eye.roll(1, dims=0)
    for _ in range(iterations):
        ends = centre + rho[..., None] * ways
        seen = polygon.on_grid(ends.detach(), data.shape[2:], lattice)
        pull = -sum(
            (polygon.read_at(s, ends, lattice) * ways[:, axis] for axis, s in enumerate(slopes)),
            start=torch.zeros_like(rho),
        )
        force = torch.tanh(pull + polygon.read_at(kappa, ends, lattice)) * seen
        bend = polygon.read_at(beta, ends, lattice) * seen
        matrix = eye + 2 * step * (second.T @ (bend[..., None] * second))
        rho = torch.linalg.solve(matrix, (rho + step * force)[..., None])[..., 0].clamp_min(SHORTEST)
    return rho


def rays_to_border(mask: Tensor, *, rays: int, lattice: Lattice) -> Tensor:
    """How far from the middle each ray leaves a mask (B,K,*S) for the first time: (B,K,L) in units.

    To half a pixel; 0 where the middle is not inside.
    """
    ways = polygon.directions(rays, like=mask)
    centre = polygon.middle(mask.shape[2:], lattice)[:, :, None]
    reach = max(h.amax().item() * n for h, n in zip(lattice.steps, mask.shape[2:], strict=True))
    radii = torch.arange(0, math.ceil(reach) + 1, 0.5, dtype=mask.dtype, device=mask.device)
    read = torch.stack(
        [
            polygon.read_at(mask, ends, lattice) * polygon.on_grid(ends, mask.shape[2:], lattice)
            for ends in ((centre + r * ways).expand(mask.shape[0], mask.shape[1], -1, -1) for r in radii)
        ],
        dim=-1,
    )
    inside = (read >= 0.5).to(mask.dtype).cumprod(dim=-1).sum(dim=-1)
    return (0.5 * (inside - 0.5)).clamp_min(0)


@dataclass(frozen=True, kw_only=True)
class RayLoss:
    """Mean distance of the ray lengths from those of the truth, in mm over ``scale_mm``.

    Rays of an absent class, or of an object that does not hold the middle, do not count.

    Args:
        scale_mm: > 0.

    Raises:
        OptionError: ``scale_mm`` is not positive.
    """

    scale_mm: float = 10.0

    def __post_init__(self) -> None:
        if not self.scale_mm > 0:
            raise OptionError(f"rays wants scale_mm > 0; got {self.scale_mm}")

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare ``rho`` with labels (B,*S); a scalar."""
        rho, spacing = output.extras["rho"], output.extras["spacing_mm"]
        truth, _ = regions_of(target, output.extras["prob"], ignore_label=-1)
        if truth.ndim != 4:
            raise ContractError(f"rays are compared in 2-D; got a target of shape {tuple(target.shape)}")
        lattice = lattice_of(spacing, truth)
        wanted = rays_to_border(truth, rays=rho.shape[-1], lattice=lattice) * lattice.unit_mm[..., 0]
        counted = (wanted > 0).to(rho.dtype)
        error = ((rho - wanted).abs() / self.scale_mm * counted).sum()
        return error / counted.sum().clamp_min(1)

"""The contour moves: one scheme for the trained head, the refiner and the classical model.

    dphi/dt = w(phi) |grad phi| (mu kappa - nu - lambda1 (I - m1)^2 + lambda2 (I - m2)^2)

phi > 0 inside. Two things keep the front moving at its true rate: the speed is |grad phi| in a
band around the front (the papers' Dirac factor lets phi steepen until the front stands still),
and phi is made a distance again every few iterations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from medseg.errors import OptionError
from medseg_contours.differences import Lattice, curvature, lattice_of, slope_length
from medseg_contours.distance import restore_distance
from medseg_contours.regions import Heaviside, Region, RegionMeans, heaviside, window_sums

Speed = Literal["band", "dirac"]
OnIteration = Callable[[int, Tensor], None]
STABLE = 0.45  # of the explicit scheme's limit 1/2 for curvature flow


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """How a contour moves. Lengths are in units of the smallest voxel side but for ``window_mm``.

    Args:
        mu: >= 0, weight of the contour's length: smoothness.
        nu: pressure; above 0 the contour shrinks.
        hold: >= 0; a force no larger leaves the contour where it is, and larger ones are less by as much.
        dt: largest time step; reduced to what is stable for mu and the spacing.
        eps: width of the Heaviside function.
        band: in voxels along the normal; further from the front nothing moves. For ``speed="band"``.
        region: means of the whole image, or of a box around each voxel.
        window_mm: half the width of that box, in mm; how far the contour can see.
        pool_mm: half the width of a box over which the image's force is averaged along the front, as
            Lankton's and the paper's is, or one for each sample; 0: each point follows its own.
        means: form of the Heaviside function for the means; with ``arctan`` far background
            leaks into the inside mean.
        speed: ``band``, or ``dirac`` as in the papers.
        reinit_every: iterations between two restorations of the distance; 0: never.
        reinit_steps: sub-steps of each.
        cap: the largest change of phi in one iteration.
        eta: floor of |grad phi|.

    Raises:
        OptionError: a value out of range.
    """

    mu: float | Tensor = 0.5
    nu: float = 0.0
    hold: float = 0.0
    dt: float = 0.5
    eps: float = 1.0
    band: float = 3.0
    region: Region = "local"
    window_mm: float = 15.0
    pool_mm: float | tuple[float, ...] = 0.0
    means: Heaviside = "sine"
    speed: Speed = "band"
    reinit_every: int = 5
    reinit_steps: int = 3
    cap: float = 0.5
    eta: float = 0.1

    def __post_init__(self) -> None:
        for name in ("dt", "eps", "band", "window_mm", "cap", "eta"):
            if not getattr(self, name) > 0:
                raise OptionError(f"a contour's {name} is above 0; got {getattr(self, name)}")
        for name in ("mu", "hold", "reinit_every", "reinit_steps"):
            if getattr(self, name) < 0:
                raise OptionError(f"a contour's {name} is not negative; got {getattr(self, name)}")
        pools = self.pool_mm if isinstance(self.pool_mm, tuple) else (self.pool_mm,)
        if any(not mm >= 0 for mm in pools):
            raise OptionError(f"a contour's pool_mm is not negative; got {self.pool_mm}")


def evolve(
    phi: Tensor,
    image: Tensor,
    spacing_mm: Tensor,
    *,
    evolution: Evolution,
    iterations: int,
    done: int = 0,
    lambda1: Tensor | float = 1.0,
    lambda2: Tensor | float = 1.0,
    checkpoint_every: int = 0,
    bounds: tuple[Tensor, Tensor] | None = None,
    on_iteration: OnIteration | None = None,
) -> Tensor:
    """Move contours through an image.

    Args:
        phi: (B,K,*S) in mm, positive inside; K fronts that do not see each other.
        image: (B,C,*S), as ``standardise`` leaves it.
        spacing_mm: (D,) or (B,D).
        evolution: how they move.
        iterations: N.
        done: how many came before, so that an evolution in parts is the same as in one.
        lambda1, lambda2: >= 0, a number or (B,K,*S): weights of the inside and the outside.
        checkpoint_every: in training keep one map for each so many iterations and compute the
            rest again on the way back; the gradient is the same. 0 keeps everything.
        bounds: the least and the largest phi (B,K,*S) in mm at each voxel, which it is kept between.
        on_iteration: called with the number of iterations done and phi in mm, detached.

    Returns:
        phi (B,K,*S) in mm.
    """
    lattice = lattice_of(spacing_mm, phi)
    means = RegionMeans(image, lattice, region=evolution.region, window_mm=evolution.window_mm)
    size = checkpoint_every if checkpoint_every and torch.is_grad_enabled() else iterations

    def move(phi: Tensor, first: int, last: int) -> Tensor:
        for number in range(first + 1, last + 1):
            phi = phi + step(phi, means, lattice, evolution, lambda1=lambda1, lambda2=lambda2)
            if evolution.reinit_every and number % evolution.reinit_every == 0:
                phi = restore_distance(phi, lattice.steps, times=evolution.reinit_steps, eta=evolution.eta)
            if limits is not None:
                phi = phi.clamp(*limits)
            if on_iteration is not None and not checkpointed:
                on_iteration(number, phi.detach() * lattice.unit_mm)
        return phi

    checkpointed = size < iterations
    limits = None if bounds is None else (bounds[0] / lattice.unit_mm, bounds[1] / lattice.unit_mm)
    phi = phi / lattice.unit_mm
    for first in range(done, done + iterations, max(size, 1)):
        last = min(first + size, done + iterations)
        if not checkpointed:
            phi = move(phi, first, last)
            continue
        phi = checkpoint(move, phi, first, last, use_reentrant=False, preserve_rng_state=False)
        if on_iteration is not None:
            on_iteration(last, phi.detach() * lattice.unit_mm)
    return phi * lattice.unit_mm


def step(
    phi: Tensor,
    means: RegionMeans,
    lattice: Lattice,
    evolution: Evolution,
    *,
    lambda1: Tensor | float = 1.0,
    lambda2: Tensor | float = 1.0,
) -> Tensor:
    """The change of phi (B,K,*S) in one time step; all lengths in units."""
    within, beyond = means.squared_residuals(heaviside(phi, eps=evolution.eps, form=evolution.means))
    force = lambda2 * beyond - lambda1 * within
    if evolution.pool_mm:
        force = along_front(force, phi, lattice, evolution)
    force = force - evolution.nu + evolution.mu * curvature(phi, lattice.steps, eta=evolution.eta)
    if evolution.hold:
        force = force - force.clamp(-evolution.hold, evolution.hold)
    stiffness = torch.stack([h.square().reciprocal() for h in lattice.steps]).sum(dim=0)
    dt = (STABLE / (evolution.mu * stiffness)).clamp(max=evolution.dt)
    change = dt * front_speed(phi, lattice, evolution) * force
    return evolution.cap * torch.tanh(change / evolution.cap)


def along_front(force: Tensor, phi: Tensor, lattice: Lattice, evolution: Evolution) -> Tensor:
    """The force (B,K,*S) averaged over a box, each voxel weighed by how near it is to the front."""
    near = evolution.eps**2 / (evolution.eps**2 + phi.square())
    total, weight = (window_sums(x, lattice, evolution.pool_mm) for x in (force * near, near))
    return total / weight


def front_speed(phi: Tensor, lattice: Lattice, evolution: Evolution) -> Tensor:
    """How far phi follows the force at each voxel, (B,K,*S): about 1 at the front, less away from it."""
    if evolution.speed == "dirac":
        return evolution.eps**2 / (evolution.eps**2 + phi.square())
    length = slope_length(phi, lattice.steps, eta=evolution.eta)
    reach: Tensor | float = evolution.band
    if any(len(set(row)) > 1 for row in lattice.spacing_mm):
        # The band is so many voxels along the normal: in mm, thick slices would lie outside it for ever.
        ones = [torch.ones_like(h) for h in lattice.steps]
        reach = reach * slope_length(phi, ones, eta=evolution.eta) / length
    near = (phi / reach).clamp(-1, 1)
    return (1 + torch.cos(math.pi * near)) / 2 * length

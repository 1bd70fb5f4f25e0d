"""A snake whose energy a network draws: one closed polygon for each class, in 2-D.

D. Marcos et al.: Learning deep structured active contours end-to-end. CVPR 2018. There the gradients
of a structured support vector machine are put into the maps by hand; here they run through the
snake's steps.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medseg.errors import OptionError
from medseg.plugin import Output
from medseg_contours import polygon
from medseg_contours.differences import Lattice, central_slope, lattice_of
from medseg_contours.regions import heaviside

MOMENTUM = 0.5


class SnakeHead(nn.Module):
    """A circle around the middle of the image moves to an object's outline.

        E = sum D(y) + alpha |y'|^2 + beta |y''|^2 - (kappa over the area inside)

    The four maps are a 1x1 convolution of the features. It wants images with one object around the
    middle, such as crops around a detector's finds. Lengths are in smallest pixel sides.

    Args:
        num_features: F.
        out_channels: K, background included; 1 for a single sigmoid channel. One polygon each.
        dims: 2.
        nodes: L, of each polygon.
        n_iter: steps.
        radius_mm: of the first circle; 0: a quarter of the image's shorter side.
        step: gamma > 0, time step.

    Raises:
        OptionError: a number out of range, or other than two dimensions.
    """

    def __init__(
        self,
        num_features: int,
        out_channels: int,
        *,
        dims: int = 2,
        nodes: int = 60,
        n_iter: int = 50,
        radius_mm: float = 0.0,
        step: float = 1.0,
    ) -> None:
        super().__init__()
        if dims != 2 or nodes < 5 or n_iter < 0 or radius_mm < 0 or not step > 0:
            raise OptionError(
                "dsac wants dims=2, nodes >= 5, n_iter >= 0, radius_mm >= 0 and step > 0; got "
                f"{dims}, {nodes}, {n_iter}, {radius_mm} and {step}"
            )
        self.single = out_channels == 1
        self.fronts = max(out_channels - 1, 1)
        self.nodes, self.n_iter, self.radius_mm, self.step = nodes, n_iter, radius_mm, step
        self.maps = nn.Conv2d(num_features, 4 * self.fronts, 1)
        assert self.maps.bias is not None  # it was asked for
        # It begins as a circle that nothing moves but a little stiffness.
        nn.init.zeros_(self.maps.weight[self.fronts :])
        nn.init.constant_(self.maps.bias[self.fronts : 3 * self.fronts], -5.0)
        nn.init.zeros_(self.maps.bias[3 * self.fronts :])

    def forward(self, features: Tensor, image: Tensor, spacing_mm: Tensor) -> Output:
        """Move a circle by features (B,F,*S) of an image (B,C,*S), with spacing (2,) or (B,2).

        Returns:
            logits (B,K,*S): signed distance to the polygon, 0 for the background. Extras: ``phi``,
            ``phi0`` in mm, ``prob``, ``prob0``, each (B,K-1,*S); ``nodes`` (B,K-1,L,2) in mm from the
            first pixel's centre.
        """
        raw = self.maps(features)
        with torch.autocast(raw.device.type, enabled=False):
            data, alpha, beta, kappa = raw.float().split(self.fronts, dim=1)
            lattice = lattice_of(spacing_mm, data)
            first = first_circle(data, lattice, nodes=self.nodes, radius_mm=self.radius_mm)
            last = move_snake(
                first,
                data=data,
                alpha=F.softplus(alpha),
                beta=F.softplus(beta),
                kappa=kappa,
                lattice=lattice,
                iterations=self.n_iter,
                step=self.step,
            )
            return polygon_output(last, first, image, lattice, single=self.single)


def move_snake(
    nodes: Tensor,
    *,
    data: Tensor,
    alpha: Tensor,
    beta: Tensor,
    kappa: Tensor,
    lattice: Lattice,
    iterations: int,
    step: float = 1.0,
) -> Tensor:
    """Move polygons down their energy, implicitly in alpha and beta, so that any step is stable.

    Where a node lies outside the image nothing but its neighbours pulls: there the maps say nothing, and
    gradients through what they said at the border grow without bound.

    Args:
        nodes: (B,K,L,2) in units.
        data: D (B,K,*S), low where the outline is.
        alpha, beta: >= 0 (B,K,*S), against stretching and bending.
        kappa: (B,K,*S), above 0 the inside grows.
        lattice: of the maps.
        iterations: N.
        step: gamma.

    Returns:
        (B,K,L,2) in units.
    """
    slopes = [central_slope(data, axis, h) for axis, h in enumerate(lattice.steps)]
    speed = torch.zeros_like(nodes)
    for _ in range(iterations):
        seen = polygon.on_grid(nodes.detach(), data.shape[2:], lattice)[..., None]
        pull = -torch.stack([polygon.read_at(s, nodes, lattice) for s in slopes], dim=-1)
        push = polygon.read_at(kappa, nodes, lattice)[..., None] * polygon.outward(nodes)
        speed = MOMENTUM * speed + (1 - MOMENTUM) * _limited((pull + push) * seen)
        matrix = stiffness(
            polygon.read_at(alpha, nodes, lattice),
            polygon.read_at(beta, nodes, lattice),
            node_distance(nodes),
        )
        matrix = torch.eye(nodes.shape[2], dtype=nodes.dtype, device=nodes.device) + 2 * step * matrix
        nodes = torch.linalg.solve(matrix, nodes + step * speed)
    return nodes


def _limited(force: Tensor) -> Tensor:
    """The same direction (...,2) with a length of tanh of the length: no move beyond a pixel."""
    length = (force.square().sum(dim=-1, keepdim=True) + 1e-12).sqrt()
    return force * torch.tanh(length) / length


def stiffness(alpha: Tensor, beta: Tensor, ds: Tensor) -> Tensor:
    """A / ds + B / ds^2 of a closed contour: (B,K,L,L) from weights (B,K,L) and node distances (B,K)."""
    eye = torch.eye(alpha.shape[-1], dtype=alpha.dtype, device=alpha.device)
    first = eye.roll(-1, dims=0) - eye
    second = eye.roll(-1, dims=0) - 2 * eye + eye.roll(1, dims=0)
    ds = ds[..., None, None]
    stretching = first.T @ (alpha[..., None] * first)
    bending = second.T @ (beta[..., None] * second)
    return stretching / ds + bending / ds**2


def node_distance(nodes: Tensor) -> Tensor:
    """Mean distance (...) of neighbours in polygons (...,L,2), at least a tenth of a pixel."""
    steps = nodes.roll(-1, dims=-2) - nodes
    return steps.square().sum(dim=-1).sqrt().mean(dim=-1).clamp_min(0.1)


def first_circle(like: Tensor, lattice: Lattice, *, nodes: int, radius_mm: float) -> Tensor:
    """Circles (B,K,L,2) around the middle of maps (B,K,*S)."""
    shape = like.shape[2:]
    sides = torch.cat([h.reshape(-1, 1) * n for h, n in zip(lattice.steps, shape, strict=True)], dim=1)
    radius = radius_mm / lattice.unit_mm.reshape(-1, 1) if radius_mm else sides.amin(1, keepdim=True) / 4
    one = polygon.circle(polygon.middle(shape, lattice), radius, nodes=nodes)
    return one.expand(like.shape[0], like.shape[1], -1, -1)


def polygon_output(last: Tensor, first: Tensor, image: Tensor, lattice: Lattice, *, single: bool) -> Output:
    """Logits and extras of polygons (B,K-1,L,2) in units."""
    shape = image.shape[2:]
    phi, phi0 = (polygon.rendered(nodes, shape, lattice) for nodes in (last, first))
    logits = phi if single else torch.cat((torch.zeros_like(phi[:, :1]), phi), dim=1)
    extras = {
        "phi": phi * lattice.unit_mm,
        "phi0": phi0 * lattice.unit_mm,
        "prob": heaviside(phi),
        "prob0": heaviside(phi0),
        "nodes": last * lattice.unit_mm,
    }
    return Output(logits=logits, extras=extras)

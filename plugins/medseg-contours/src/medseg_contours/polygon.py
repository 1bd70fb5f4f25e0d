"""Closed polygons on a 2-D grid: maps read at their nodes, and the region inside them, differentiable.

Positions are in units of the smallest voxel side, from the centre of the first voxel.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medseg_contours.differences import Lattice


def circle(centre: Tensor, radius: Tensor, *, nodes: int) -> Tensor:
    """Nodes (...,L,2) on circles around centres (...,2) of radii (...)."""
    return centre[..., None, :] + radius[..., None, None] * directions(nodes, like=centre)


def directions(nodes: int, *, like: Tensor) -> Tensor:
    """Unit vectors (L,2) at even angles, from the first axis towards the second."""
    angle = torch.arange(nodes, dtype=like.dtype, device=like.device) * (2 * math.pi / nodes)
    return torch.stack((angle.cos(), angle.sin()), dim=-1)


def middle(shape: Sequence[int], lattice: Lattice) -> Tensor:
    """The middle of the field of view, (B,1,2) or (1,1,2)."""
    return torch.cat([h.reshape(-1, 1) * (n - 1) / 2 for h, n in zip(lattice.steps, shape, strict=True)], 1)[
        :, None
    ]


def read_at(maps: Tensor, points: Tensor, lattice: Lattice) -> Tensor:
    """Bilinear values (B,K,L) of maps (B,K,*S), each at its points (B,K,L,2); the border's beyond it."""
    batch, fronts, nodes, _ = points.shape
    where = _normalised(points, maps.shape[2:], lattice).reshape(batch * fronts, 1, nodes, 2)
    flat = maps.reshape(batch * fronts, 1, *maps.shape[2:])
    # grid_sample wants x, the last axis, first.
    read = F.grid_sample(flat, where.flip(-1), mode="bilinear", padding_mode="border", align_corners=True)
    return read.reshape(batch, fronts, nodes)


def on_grid(points: Tensor, shape: Sequence[int], lattice: Lattice) -> Tensor:
    """1 where a point (B,K,L,2) lies in the field of view, else 0: (B,K,L)."""
    return (_normalised(points, shape, lattice).abs() <= 1).all(dim=-1).to(points.dtype)


def rendered(polygons: Tensor, shape: Sequence[int], lattice: Lattice) -> Tensor:
    """Signed distance (B,K,*S) of each voxel to a polygon (B,K,L,2), positive inside, in units.

    The nearest edge is looked up without gradient and its distance then taken with it: the same
    gradient as through the smallest of all distances, and memory for one edge a voxel.
    """
    batch = polygons.shape[0]
    axes = [torch.arange(n, dtype=polygons.dtype, device=polygons.device) for n in shape]
    indices = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))
    steps = torch.cat([h.reshape(-1, 1) for h in lattice.steps], dim=1)
    points = (indices * steps[:, None]).expand(batch, -1, -1)[:, None]  # (B,1,P,2)
    with torch.no_grad():
        nearest, inside = _nearest_edge(polygons, points)
    begin, end = (
        torch.gather(nodes, 2, nearest[..., None].expand(-1, -1, -1, 2))
        for nodes in (polygons, polygons.roll(-1, dims=2))
    )
    squared = _squared_distance(points, begin, end)
    distance = (squared + 1e-12).sqrt() * torch.where(inside, 1.0, -1.0).to(squared.dtype)
    return distance.reshape(*polygons.shape[:2], *shape)


def outward(polygon: Tensor) -> Tensor:
    """Unit normals (...,L,2) that point away from the inside, whichever way round the nodes run."""
    along = polygon.roll(-1, dims=-2) - polygon.roll(1, dims=-2)
    length = (along.square().sum(dim=-1, keepdim=True) + 1e-12).sqrt()
    turned = torch.stack((along[..., 1], -along[..., 0]), dim=-1) / length
    return turned * area(polygon).sign()[..., None, None]


def area(polygon: Tensor) -> Tensor:
    """Signed area (...) of polygons (...,L,2): positive where the first axis turns towards the second."""
    following = polygon.roll(-1, dims=-2)
    return (polygon[..., 0] * following[..., 1] - polygon[..., 1] * following[..., 0]).sum(dim=-1) / 2


def _normalised(points: Tensor, shape: Sequence[int], lattice: Lattice) -> Tensor:
    """Positions as -1 to 1 from the first to the last voxel centre."""
    ends = torch.cat([h.reshape(-1, 1) * max(n - 1, 1) for h, n in zip(lattice.steps, shape, strict=True)], 1)
    return 2 * points / ends[:, None, None] - 1


def _nearest_edge(polygons: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the nearest edge (B,K,P), and whether a ray crosses an odd number of edges."""
    best = polygons.new_full((*polygons.shape[:2], points.shape[2]), math.inf)
    which = torch.zeros_like(best, dtype=torch.long)
    odd = torch.zeros_like(best, dtype=torch.bool)
    following = polygons.roll(-1, dims=2)
    for edge in range(polygons.shape[2]):
        begin, end = polygons[:, :, edge, None], following[:, :, edge, None]
        squared = _squared_distance(points, begin, end)
        which = torch.where(squared < best, edge, which)
        best = torch.minimum(squared, best)
        spans = (begin[..., 0] > points[..., 0]) != (end[..., 0] > points[..., 0])
        rise = torch.where(spans, end[..., 0] - begin[..., 0], 1.0)
        crossing = begin[..., 1] + (points[..., 0] - begin[..., 0]) * (end[..., 1] - begin[..., 1]) / rise
        odd = odd ^ (spans & (points[..., 1] < crossing))
    return which, odd


def _squared_distance(points: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """To the segments from ``begin`` to ``end``."""
    edge = end - begin
    part = ((points - begin) * edge).sum(dim=-1) / (edge.square().sum(dim=-1) + 1e-12)
    foot = begin + part.clamp(0, 1)[..., None] * edge
    return (points - foot).square().sum(dim=-1)

"""The closed surface of a mask, by marching cubes.

The grid is padded, so a mask that reaches its border is closed there. Smoothing blurs the mask and
cuts it at the level that keeps its volume, so that the surface is rounded off and the body does not
shrink.

Reference: Lorensen & Cline 1987, doi:10.1145/37402.37422.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from skimage.measure import marching_cubes

from medseg.volume import Affine

_REACH = 3.0  # standard deviations after which the Gaussian is cut
_LEVEL_TOLERANCE = 1e-3  # of the level; the volume follows it less than in proportion


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles whose corners run counter-clockwise when seen from outside.

    Args:
        vertices: (V, 3) RAS+ mm.
        faces: (T, 3) indices of vertices.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]

    @property
    def normals(self) -> NDArray[np.float64]:
        """(T, 3) unit vectors that point out of the body."""
        a, b, c = np.moveaxis(self.vertices[self.faces], 1, 0)
        normals: NDArray[np.float64] = np.cross(b - a, c - a)
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        normals /= np.where(lengths > 0, lengths, 1)
        return normals

    @property
    def ml(self) -> float:
        """The volume inside, in mL, by the divergence theorem."""
        a, b, c = np.moveaxis(self.vertices[self.faces] - self.vertices.mean(axis=0), 1, 0)
        return float(np.einsum("ti,ti->", a, np.cross(b, c))) / 6000


def extract_surface(mask: NDArray[np.bool_], affine: Affine, *, smooth_mm: float = 0.0) -> Surface:
    """The surface of a mask that holds at least one voxel.

    Args:
        mask: (I, J, K).
        affine: voxel index to RAS+ mm; left-handed ones give outward normals too.
        smooth_mm: standard deviation of the Gaussian that rounds it off; 0 follows the voxels, halfway
            between their centres and their neighbours'.
    """
    sigma = smooth_mm / np.linalg.norm(affine[:3, :3], axis=0)
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    padding = np.ceil(_REACH * sigma).astype(int) + 1
    field = np.pad(mask[box].astype(np.float32), [(n, n) for n in padding])
    if smooth_mm > 0:
        field = ndimage.gaussian_filter(field, sigma, mode="constant", truncate=_REACH)
        level = _keeping_level(field, float(np.count_nonzero(mask)))
    else:
        level = 0.5
    surface = _cut(field, level)
    indices = surface.vertices - padding + [side.start for side in box]
    left_handed = np.linalg.det(affine[:3, :3]) < 0
    return Surface(
        indices @ affine[:3, :3].T + affine[:3, 3], surface.faces[:, ::-1] if left_handed else surface.faces
    )


def _keeping_level(blurred: NDArray[Any], voxels: float) -> float:
    """The level at which a blurred mask's surface has the volume of so many voxels."""
    highest = float(blurred.max())

    def excess(level: float) -> float:
        return 1000 * _cut(blurred, level).ml - voxels

    # Near 0 the surface lies outside of every voxel, near the maximum there is next to nothing in it.
    return float(optimize.brentq(excess, 1e-3 * highest, 0.9999 * highest, rtol=_LEVEL_TOLERANCE))


def _cut(field: NDArray[Any], level: float) -> Surface:
    """The surface of what lies above a level, in voxel indices."""
    # Lorensen's table leaves no edge with four triangles, which Lewiner's does where voxels touch in a line.
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call]  # scikit-image types only a part
        field, level, method="lorensen", allow_degenerate=False
    )
    # scikit-image's triangles are clockwise.
    return Surface(vertices.astype(np.float64), faces[:, ::-1].astype(np.int64))

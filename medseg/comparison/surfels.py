"""How much surface runs through a corner that up to eight voxels share.

Around a corner each voxel is inside or outside, which makes 256 cases in three dimensions. The
surface through them is that of marching cubes (Lorensen and Cline 1987, doi:10.1145/37402.37422);
where its triangulation is a matter of choice, the choice is that of the reference implementation
of the surface Dice (Nikolov et al. 2021, doi:10.2196/26151), so that the numbers are the same.
"""

import itertools
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

# The voxels that are inside, and for each triangle the absolute components of its normal, whose length
# is the area, in eighths of a face. Every other case is one of these turned, mirrored or inverted.
_CASES: tuple[tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]], ...] = (
    (("000",), ((1, 1, 1),)),
    (("000", "001"), ((2, 2, 0), (2, 2, 0))),
    (("001", "010"), ((1, 1, 1), (1, 1, 1))),
    (("011", "100"), ((1, 1, 1), (1, 1, 1))),
    (("000", "001", "010"), ((1, 1, 1), (2, 2, 2), (4, 0, 0))),
    (("001", "010", "100"), ((1, 1, 1), (1, 1, 1), (1, 1, 1))),
    (("000", "011", "100"), ((0, 2, 2), (0, 2, 2), (1, 1, 1))),
    (("000", "001", "010", "011"), ((4, 0, 0), (4, 0, 0))),
    (("000", "001", "010", "100"), ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2))),
    (("000", "001", "011", "100"), ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3))),
    (("001", "010", "011", "100"), ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0))),
    (("010", "011", "100", "101"), ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0))),
    (("000", "011", "101", "110"), ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1))),
)


def encode_corners(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Which of the voxels around each corner are inside, a bit each.

    Args:
        mask: n-D, False along its rim.

    Returns:
        The same shape; at index x the corner between voxels x and x + 1 along every axis. In 3-D the
        bit of the voxel at (i, j, k) of the eight is 4 i + 2 j + k.
    """
    codes = mask.view(np.uint8)
    for bit, axis in enumerate(reversed(range(mask.ndim))):
        ahead = np.zeros_like(codes)
        np.left_shift(_from(codes, axis, 1, None), 1 << bit, out=_from(ahead, axis, 0, -1))
        codes = codes | ahead
    return codes


def corner_areas(spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Area in mm2 (in 2-D length in mm, in 1-D number of ends) for each code of a corner.

    Args:
        spacing_mm: of one, two or three axes.
    """
    if len(spacing_mm) == 1:
        return np.array([0.0, 1.0, 1.0, 0.0])
    return _corner_lengths(*spacing_mm) if len(spacing_mm) == 2 else _corner_areas(*spacing_mm)


@lru_cache(maxsize=64)
def _corner_areas(i: float, j: float, k: float) -> NDArray[np.float64]:
    faces = np.array([j * k, i * k, i * j]) / 8
    return np.array([np.linalg.norm(triangles * faces, axis=1).sum() for triangles in _triangles()])


def _corner_lengths(i: float, j: float) -> NDArray[np.float64]:
    """Bits 1, 2, 4, 8 are the voxels at (0, 0), (0, 1), (1, 0), (1, 1)."""
    lengths = np.empty(16)
    for code in range(16):
        inside = [code >> bit & 1 for bit in range(4)]
        if sum(inside) in (1, 3):
            lengths[code] = np.hypot(i, j) / 2
        elif code in (0b0110, 0b1001):  # across from each other: two pieces of contour
            lengths[code] = np.hypot(i, j)
        elif code in (0b0011, 0b1100):
            lengths[code] = j
        else:
            lengths[code] = i if code in (0b0101, 0b1010) else 0
    return lengths


@cache
def _triangles() -> tuple[NDArray[np.int64], ...]:
    """(T, 3) of each of the 256 codes."""
    found: dict[int, list[tuple[int, ...]]] = {0: [], 255: []}
    for corners, triangles in _CASES:
        for order in itertools.permutations(range(3)):
            for mirrored in itertools.product((0, 1), repeat=3):
                code = sum(1 << _bit(corner, order, mirrored) for corner in corners)
                turned = [tuple(normal[axis] for axis in order) for normal in triangles]
                found[code] = found[255 - code] = turned
    return tuple(np.array(found[code], dtype=np.int64).reshape(-1, 3) for code in range(256))


def _bit(corner: str, order: Sequence[int], mirrored: Sequence[int]) -> int:
    i, j, k = (int(corner[axis]) ^ flip for axis, flip in zip(order, mirrored, strict=True))
    return 4 * i + 2 * j + k


def _from(array: NDArray[np.uint8], axis: int, start: int, stop: int | None) -> NDArray[np.uint8]:
    return array[(slice(None),) * axis + (slice(start, stop),)]

"""Where in an image the body is, so that windows of nothing but air need not be computed.

An approximation, unlike windows of one value: what is said of a voxel that is found to be of the body is the
same to the last bit, as every window that reaches it is computed; what is said of the air around may not be,
and tissue as dark as air that no other tissue encloses is taken for air.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor
from torch.nn import functional as F

BLOCK_MM = 4.0  # values are averaged over this, which takes the noise of the air away
AROUND_MM = 12.0  # of air that belongs to the body
_CORNERS = 6  # of 8 that are air in an image with air around the body
_DIM = 0.25  # of the way from dark to bright, at which tissue begins: Otsu's threshold would leave out much
_SURE = 20.0  # logit of the background where nothing was computed


class Body:
    """The part of an image that is worth computing.

    Args:
        blocks: (I,J,K), whether a block holds some of it.
        voxels: of a block along each axis.
        regions: channels of the answer are regions with a sigmoid each.

    Attributes:
        skipped: windows or slices that were not computed.
    """

    def __init__(self, blocks: NDArray[np.bool_], voxels: Sequence[int], *, regions: bool) -> None:
        self._blocks, self._voxels, self._regions = blocks, tuple(voxels), regions
        self.skipped = 0

    def is_in(self, corner: Sequence[int], sizes: Sequence[int]) -> bool:
        """Whether a box of the image, which may reach beyond it, holds some of the body."""
        box = [
            slice(max(0, begin) // n, max(0, -(-(begin + size) // n)))
            for begin, size, n in zip(corner, sizes, self._voxels, strict=True)
        ]
        return bool(self._blocks[tuple(box)].any())

    def background(self, scores: Tensor) -> Tensor:
        """Logits (K,*S) that say background everywhere, in the shape of others."""
        one_each = self._regions or len(scores) == 1
        nothing = torch.full_like(scores, -_SURE if one_each else 0.0)
        if not one_each:
            nothing[0] = _SURE
        return nothing


def find_body(image: Tensor, spacing_mm: Sequence[float], *, regions: bool) -> Body:
    """What is brighter than the air in any channel, what that encloses, and some air around.

    An image has air if most of its corners are dark; all of another one is the body.

    Args:
        image: (C,I,J,K).
        spacing_mm: along i, j, k.
        regions: as of ``Body``.
    """
    voxels = [max(1, min(n, round(BLOCK_MM / mm))) for n, mm in zip(image.shape[1:], spacing_mm, strict=True)]
    means = F.avg_pool3d(image[None].float(), voxels, ceil_mode=True, count_include_pad=False)[0]
    bright = np.zeros(means.shape[1:], bool)
    for channel in means.cpu().numpy():
        bright |= _bright(channel)
    dark_corners = 8 - int(bright[np.ix_(*[[0, -1]] * 3)].sum())
    if not bright.any() or dark_corners < _CORNERS:
        return Body(np.ones(bright.shape, bool), voxels, regions=regions)
    reach = [math.ceil(AROUND_MM / (n * mm)) for n, mm in zip(voxels, spacing_mm, strict=True)]
    around = ndimage.maximum_filter(_filled(bright), size=[2 * n + 1 for n in reach])
    return Body(around, voxels, regions=regions)


def _bright(channel: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Blocks that are no air, and those whose value is no number."""
    finite = np.isfinite(channel)
    known = channel[finite]
    if not known.size or known.min() == known.max():
        return ~finite
    above = known > threshold_otsu(known)  # type: ignore[no-untyped-call]  # it has no types
    dark, light = float(known[~above].mean()), float(known[above].mean())
    return np.asarray(~finite | (channel > dark + _DIM * (light - dark)))


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask and what it encloses, also in planes: lungs may be open where the image ends."""
    filled = np.asarray(ndimage.binary_fill_holes(mask))
    for axis in range(3):
        # Holes of a plane are filled by a structure that does not reach the next one.
        within = tuple(slice(1, 2) if n == axis else slice(None) for n in range(3))
        cross = ndimage.generate_binary_structure(3, 1)[within]
        filled |= ndimage.binary_fill_holes(mask, structure=cross)
    return filled

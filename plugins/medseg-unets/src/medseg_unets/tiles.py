"""The arithmetic of a U-Net without padding, and the mirrored borders that make up for it.

Two convolutions of kernel 3 take 4 voxels off each axis, at every one of the L + 1 levels on the way
down and at L levels on the way up. With b voxels left at the bottom, along each axis::

    input  = 2^L (b + 4) + 4 (2^L - 1)        572 for L = 4, b = 28
    output = 2^L b       - 4 (2^L - 1)        388

Half the difference is the border that a tile needs around its output. Predicting an image tile by tile,
each with such a border, is seamless: the overlap-tile strategy (Ronneberger, Fischer, Brox 2015, section 2
and figure 2). The receptive field is 2^L wider than two borders, because 2^L neighbours share what the
bottom level saw: the p-th of them sees border + p voxels before it and border + 2^L - 1 - p after it.
"""

import torch
from torch import Tensor

from medseg.errors import ContractError


def border(depth: int) -> int:
    """Voxels lost on each side, half the receptive field: 20, 44, 92, 188 for 2, 3, 4, 5 poolings.

    Args:
        depth: L, the number of poolings.
    """
    return sum(4 << level for level in range(depth)) + (2 << depth)


def output_size(size: int, depth: int) -> int:
    """Size of the output of a U-Net without padding, along one axis.

    Raises:
        ContractError: no output is left, or a pooling would meet an odd size; sizes that fit are named.
    """
    output = size - 2 * border(depth)
    if output < 1 or (output + 4 * (2**depth - 1)) % 2**depth:
        above = input_size(max(output, 1), depth)
        below = above - 2**depth
        nearest = f"{below} or {above}" if below > 2 * border(depth) else f"{above}"
        raise ContractError(
            f"a U-Net without padding and with {depth} poolings cannot take size {size}; "
            f"the nearest that fits is {nearest}. Change the size, or build it with padding='mirror'"
        )
    return output


def input_size(output: int, depth: int) -> int:
    """The smallest size whose output, without padding, covers ``output`` voxels along one axis."""
    scale = 1 << depth
    bottom = -(-(output + 4 * (scale - 1)) // scale)
    return scale * (bottom + 4) + 4 * (scale - 1)


def mirror_border(x: Tensor, depth: int) -> Tensor:
    """Put (B,C,*S) into a mirrored border, so that a U-Net without padding gives at least *S again.

    It begins ``border(depth)`` voxels before the image, so that output voxel i lies on image voxel i. An
    image narrower than its border is mirrored again and again, which torch's own reflection refuses to do.
    """
    before = border(depth)
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        period = max(2 * (size - 1), 1)  # 0 1 2 3 2 1 | 0 1 2 3 2 1
        index = (torch.arange(input_size(size, depth), device=x.device) - before) % period
        x = x.index_select(axis, torch.minimum(index, period - index))
    return x


def crop_centre(x: Tensor, like: Tensor) -> Tensor:
    """Cut the middle of (B,C,*S) to the spatial sizes of another tensor, which are no larger."""
    for axis in range(2, x.ndim):
        size = like.shape[axis]
        x = x.narrow(axis, (x.shape[axis] - size) // 2, size)
    return x

"""How much each voxel of a window counts where windows overlap."""

from collections.abc import Sequence

import torch
from torch import Tensor

SIGMA = 0.125  # of a window's size: the Gaussian's width in MONAI and nnU-Net
SMALLEST_WEIGHT = 1e-3  # MONAI's clamp: a voxel seen only by a window's corner still counts

Corner = tuple[int, ...]


class ClampedGaussian:
    """MONAI's weights: a Gaussian clamped from below.

    The clamp couples the axes, so what the weights of all windows add up to must be counted.
    """

    sums_to_one = False

    def __init__(self, sizes: Sequence[int]) -> None:
        weight = _product([_bell(size, (size - 1) / 2) for size in sizes])
        self._weight = weight.clamp_(min=max(float(weight.min()), SMALLEST_WEIGHT))

    def at(self, corner: Corner, device: torch.device) -> Tensor:  # noqa: ARG002  # the same everywhere, unlike Partition's
        """Weights (*sizes), on a device, of the window that begins at a corner."""
        self._weight = self._weight.to(device)
        return self._weight


class Partition:
    """Weights that add up to 1 at every voxel: a product over the axes, divided axis by axis.

    All windows together are a grid, so the sum of the products is the product of the axes' sums, and
    dividing each axis by its own sum leaves nothing to count.
    """

    sums_to_one = True

    def __init__(self, starts: Sequence[Sequence[int]], sizes: Sequence[int], blend: str) -> None:
        self._axes = []
        for begins, size in zip(starts, sizes, strict=True):
            # nnU-Net's centre of an even size is half a voxel beyond the middle.
            weight = _bell(size, size // 2) if blend == "gaussian" else torch.ones(size)
            total = torch.zeros(begins[-1] + size, dtype=torch.float64)
            for begin in begins:
                total[begin : begin + size] += weight
            self._axes.append({begin: (weight / total[begin : begin + size]).float() for begin in begins})

    def at(self, corner: Corner, device: torch.device) -> Tensor:
        """Weights (*sizes), on a device, of the window that begins at a corner."""
        return _product([axis[begin].to(device) for axis, begin in zip(self._axes, corner, strict=True)])


def _bell(size: int, centre: float) -> Tensor:
    x = torch.arange(size, dtype=torch.float32) - centre
    return torch.exp(x**2 / (-2 * (SIGMA * size) ** 2))


def _product(axes: Sequence[Tensor]) -> Tensor:
    weight = axes[0]
    for along in axes[1:]:
        weight = weight.unsqueeze(-1) * along
    return weight

"""Convolutions of few voxels in float32 while a network learns in bfloat16 on a CPU.

Of a 3-D convolution in bfloat16 whose image is shorter than its kernel, torch 2.13 with oneDNN returns memory
that nothing was written to as the gradient of the weights: about 1e37, or NaN. That is the bottom of deep
networks, V-Net's 4^3 voxels under a kernel of 5^3 say. So few voxels cost no more in float32.
"""

from typing import Any

import torch
from torch import Tensor, nn


class SmallConv3d(nn.Conv3d):
    """A convolution that computes in float32 where the image is shorter than the kernel."""

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,C',*S')."""
        if _is_small(x, self.kernel_size):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class SmallConvTranspose3d(nn.ConvTranspose3d):
    """The same of a transposed convolution."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B,C,*S) -> (B,C',*S')."""
        if _is_small(x, self.kernel_size):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float(), output_size)
        return super().forward(x, output_size)


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv3d: SmallConv3d,
    nn.ConvTranspose3d: SmallConvTranspose3d,
}


def compute_small_in_float32(network: nn.Module) -> None:
    """Change a network in place; weights keep their names, and nothing changes without autocast."""
    for layer in network.modules():
        if type(layer) in _CLASSES:  # torch's own, and nobody's subclass
            layer.__class__ = _CLASSES[type(layer)]


def _is_small(x: Tensor, kernel: Any) -> bool:
    return any(n < size for n, size in zip(x.shape[2:], kernel, strict=True))

"""Convolutions of few voxels on a CPU: the image grows by zeros until it is longer than the kernel.

Where a 3-D image is no longer than the kernel, torch 2.13 with oneDNN returns memory that nothing was written
to as the gradient of the weights in bfloat16 (about 1e37, or NaN), and some strided ones write where they
must not, in float32 too. That is the bottom of deep networks, V-Net's 4^3 voxels under a kernel of 5^3 say. A
convolution takes its image as followed by zeros anyhow, so more of them only add outputs, which are cut off.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class SmallConv3d(nn.Conv3d):
    """A convolution of an image that is made longer than the kernel."""

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,C',*S')."""
        lengths = _lengths(self)
        if self.padding_mode != "zeros" or not _is_small(x, lengths):
            return super().forward(x)
        out = [
            n if self.padding == "same" else (n + 2 * _number(self.padding, axis) - length) // stride + 1
            for axis, (n, length, stride) in enumerate(zip(x.shape[2:], lengths, self.stride, strict=True))
        ]
        if min(out) < 1:
            return super().forward(x)  # which says what is wrong
        return _cropped(super().forward(_grown(x, lengths)), out)


class SmallConvTranspose3d(nn.ConvTranspose3d):
    """The same of a transposed convolution."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B,C,*S) -> (B,C',*S')."""
        lengths = _lengths(self)
        if output_size is not None or not _is_small(x, lengths):
            return super().forward(x, output_size)
        out = [
            (n - 1) * stride - 2 * _number(self.padding, axis) + length + more
            for axis, (n, length, stride, more) in enumerate(
                zip(x.shape[2:], lengths, self.stride, self.output_padding, strict=True)
            )
        ]
        if min(out) < 1:
            return super().forward(x)  # which says what is wrong
        return _cropped(super().forward(_grown(x, lengths)), out)


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv3d: SmallConv3d,
    nn.ConvTranspose3d: SmallConvTranspose3d,
}


def grow_small_images(network: nn.Module) -> None:
    """Change a network's convolutions in place; weights keep their names, and outputs their values."""
    for layer in network.modules():
        if type(layer) in _CLASSES:  # torch's own, and nobody's subclass
            layer.__class__ = _CLASSES[type(layer)]


def _lengths(layer: nn.Conv3d | nn.ConvTranspose3d) -> list[int]:
    """Voxels that the kernel spans along each axis."""
    return [d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]


def _number(padding: str | tuple[int, ...], axis: int) -> int:
    return 0 if isinstance(padding, str) else padding[axis]  # "same" is seen to before; else "valid"


def _is_small(x: Tensor, lengths: Sequence[int]) -> bool:
    return any(n <= length for n, length in zip(x.shape[2:], lengths, strict=True))


def _grown(x: Tensor, lengths: Sequence[int]) -> Tensor:
    missing = [max(0, length + 1 - n) for n, length in zip(x.shape[2:], lengths, strict=True)]
    return F.pad(x, [amount for more in reversed(missing) for amount in (0, more)])


def _cropped(y: Tensor, out: Sequence[int]) -> Tensor:
    i, j, k = out
    return y[..., :i, :j, :k]

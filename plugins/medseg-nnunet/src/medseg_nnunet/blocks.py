"""The blocks of nnU-Net's networks, with nnU-Net's names of tensors.

Source: dynamic_network_architectures 0.4 (Isensee et al.), whose checkpoints fit once the second names
that it gives to the same tensors (``all_modules``, ``decoder.encoder``) are left out.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

from torch import Tensor, nn

Norm = Literal["instance", "batch"]
Sizes = Sequence[int]

CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
UP: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOL: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
NORM: dict[tuple[str, int], Any] = {
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
}


class ConvBlock(nn.Module):
    """Convolution with zero padding, normalisation and, unless it is the last of a sum, LeakyReLU."""

    def __init__(
        self,
        channels: int,
        features: int,
        kernel: Sizes,
        stride: Sizes,
        *,
        norm: Norm,
        bias: bool,
        active: bool = True,
    ) -> None:
        super().__init__()
        padding = [(k - 1) // 2 for k in kernel]
        self.conv = CONV[len(kernel)](
            channels, features, tuple(kernel), tuple(stride), tuple(padding), bias=bias
        )
        self.norm = NORM[norm, len(kernel)](features, affine=True)
        self.active = nn.LeakyReLU(inplace=True) if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,F,*S / stride)."""
        return cast(Tensor, self.active(self.norm(self.conv(x))))


class Stack(nn.Module):
    """Convolution blocks one after the other; the first strides."""

    def __init__(
        self,
        count: int,
        channels: int,
        features: int,
        kernel: Sizes,
        stride: Sizes,
        *,
        norm: Norm,
        bias: bool,
    ) -> None:
        super().__init__()
        once = (1,) * len(kernel)
        self.convs = nn.Sequential(
            *(
                ConvBlock(
                    channels if n == 0 else features,
                    features,
                    kernel,
                    stride if n == 0 else once,
                    norm=norm,
                    bias=bias,
                )
                for n in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,F,*S / stride)."""
        return cast(Tensor, self.convs(x))


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, which averages where they stride and projects where they widen.

    He et al. 2019, "Bag of tricks" (ResNet-D), doi:10.1109/CVPR.2019.00065.
    """

    def __init__(
        self, channels: int, features: int, kernel: Sizes, stride: Sizes, *, norm: Norm, bias: bool
    ) -> None:
        super().__init__()
        once = (1,) * len(kernel)
        self.conv1 = ConvBlock(channels, features, kernel, stride, norm=norm, bias=bias)
        self.conv2 = ConvBlock(features, features, kernel, once, norm=norm, bias=bias, active=False)
        shortcut: list[nn.Module] = []
        if any(step != 1 for step in stride):
            shortcut.append(POOL[len(kernel)](tuple(stride), tuple(stride)))
        if channels != features:
            shortcut.append(ConvBlock(channels, features, once, once, norm=norm, bias=False, active=False))
        self.skip = nn.Sequential(*shortcut)
        self.active = nn.LeakyReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,F,*S / stride)."""
        return cast(Tensor, self.active(self.conv2(self.conv1(x)) + self.skip(x)))


class ResidualStack(nn.Module):
    """Residual blocks one after the other; the first strides."""

    def __init__(
        self,
        count: int,
        channels: int,
        features: int,
        kernel: Sizes,
        stride: Sizes,
        *,
        norm: Norm,
        bias: bool,
    ) -> None:
        super().__init__()
        once = (1,) * len(kernel)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(
                    channels if n == 0 else features,
                    features,
                    kernel,
                    stride if n == 0 else once,
                    norm=norm,
                    bias=bias,
                )
                for n in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,F,*S / stride)."""
        return cast(Tensor, self.blocks(x))

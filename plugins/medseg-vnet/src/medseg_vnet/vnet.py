"""V-Net.

F. Milletari, N. Navab, S.-A. Ahmadi: V-Net: fully convolutional neural networks for volumetric medical
image segmentation. 3DV 2016, doi:10.1109/3DV.2016.79, arXiv:1606.04797.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from medseg.errors import ContractError, OptionError

Norm = Literal["none", "batch", "instance"]

LEFT = (1, 2, 3, 3, 3)  # convolutions of each stage, top to bottom: figure 2, and the field sizes of table 1
RIGHT = (3, 3, 2, 1)  # bottom to top
DIVISOR = 2 ** len(RIGHT)

_CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_NORMS: dict[tuple[str, int], type[nn.Module]] = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}


class Stage(nn.Module):
    """Convolutions of kernel 5 with a PReLU between, plus the stage's input, then a PReLU.

    Args:
        in_channels: of the input, which is repeated where the stage has more channels (the first has).
        channels: of the stage.
        count: number of convolutions.
        dims: 2 or 3.
        norm: after each convolution.
    """

    def __init__(self, in_channels: int, channels: int, count: int, *, dims: int, norm: Norm) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(count):
            c_in = channels if index else in_channels
            layers.append(_CONVOLUTION[dims](c_in, channels, 5, padding=2, bias=norm == "none"))
            layers += _norm(norm, channels, dims=dims)
            layers.append(nn.PReLU(channels))
        self.convolutions = nn.Sequential(*layers[:-1])
        self.activation = layers[-1]
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,channels,*S)."""
        copies = math.ceil(self.channels / x.shape[1])
        identity = torch.cat([x] * copies, dim=1)[:, : self.channels]
        activated: Tensor = self.activation(self.convolutions(x) + identity)
        return activated


class VNet(nn.Module):
    """V-Net in 3-D, as in figure 2 of the paper, or with the same layers in 2-D.

    Residual stages; strided convolutions in place of poolings; PReLU throughout; the last convolution has
    kernel 1. The released network has 1, 1, 2, 3, 3 convolutions down and 3, 2, 1, 1 up, and one more of
    kernel 5 before the last; this follows the paper, whose table 1 settles each count. MONAI's ``VNet`` has
    1, 1, 2, 3, 2 down and 2, 2, 1, 1 up, the release's extra one, batch norm, dropout and, by default, ELU.

    Args:
        in_channels: C; with more than one, channel c of the first stage gets image channel c mod C added.
        out_channels: K, background included.
        dims: 2 or 3.
        width: channels of the first stage; they double with each level. Paper: 16.
        norm: after each convolution but the last. Paper: none; batch makes training easier.

    Raises:
        OptionError: width below 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, dims: int = 3, width: int = 16, norm: Norm = "none"
    ) -> None:
        super().__init__()
        if width < 1:
            raise OptionError(f"width is {width}; it must be 1 or more")
        self.num_features = 2 * width
        channels = [width * 2**level for level in range(len(LEFT))]  # 16 32 64 128 256
        self.left = nn.ModuleList([Stage(in_channels, width, LEFT[0], dims=dims, norm=norm)])
        self.down = nn.ModuleList()
        for c, count in zip(channels[1:], LEFT[1:], strict=True):
            down = _CONVOLUTION[dims](c // 2, c, 2, stride=2, bias=norm == "none")
            self.down.append(nn.Sequential(down, *_norm(norm, c, dims=dims), nn.PReLU(c)))
            self.left.append(Stage(c, c, count, dims=dims, norm=norm))
        self.up = nn.ModuleList()
        self.right = nn.ModuleList()
        below = channels[-1]
        for c, count in zip(reversed(channels[:-1]), RIGHT, strict=True):
            up = _TRANSPOSED[dims](below, c, 2, stride=2, bias=norm == "none")
            self.up.append(nn.Sequential(up, *_norm(norm, c, dims=dims), nn.PReLU(c)))
            below = 2 * c  # half from below, half from the left
            self.right.append(Stage(below, below, count, dims=dims, norm=norm))
        self.head = _CONVOLUTION[dims](2 * width, out_channels, 1)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Score every voxel: (B,C,*S) -> logits (B,K,*S).

        Raises:
            ContractError: a size is not a multiple of 16.
        """
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Everything but the last convolution: (B,C,*S) -> (B,F,*S)."""
        _check_sizes(x)
        x = self.left[0](x)  # (B, 16, *S)
        skips = [x]
        for down, stage in zip(self.down, self.left[1:], strict=True):
            x = stage(down(x))  # (B, 16 * 2^l, *S / 2^l), l = 1 .. 4
            skips.append(x)
        skips.pop()
        for up, stage in zip(self.up, self.right, strict=True):
            x = stage(torch.cat((up(x), skips.pop()), dim=1))  # (B, 32 * 2^l, *S / 2^l), l = 3 .. 0
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """(B,F,*S) -> logits (B,K,*S)."""
        logits: Tensor = self.head(features)
        return logits


def _norm(norm: Norm, channels: int, *, dims: int) -> list[nn.Module]:
    return [] if norm == "none" else [_NORMS[norm, dims](channels, affine=True)]


def _initialise(network: nn.Module) -> None:
    """Weights from N(0, 2/n), n inputs to a unit (He et al. 2015), as released; biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            inputs = layer.weight[0].numel()
        elif isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            inputs = layer.in_channels  # stride = kernel: one coarse voxel reaches each fine one
        else:
            continue
        nn.init.normal_(layer.weight, std=math.sqrt(2 / inputs))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _check_sizes(x: Tensor) -> None:
    got = x.shape[2:]
    if any(size % DIVISOR for size in got):
        wanted = " x ".join(str(math.ceil(size / DIVISOR) * DIVISOR) for size in got)
        raise ContractError(
            f"got spatial sizes {' x '.join(map(str, got))}; V-Net halves each axis four times, so each must "
            f"be a multiple of {DIVISOR}: pad to {wanted}"
        )

"""What the U-Nets share: two convolutions with norm and ReLU, initial weights, checks of sizes."""

import math
from typing import Literal

from torch import Tensor, nn

from medseg.errors import ContractError, OptionError

Norm = Literal["batch", "instance", "none"]

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
MAX_POOLING: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_NORMS: dict[tuple[str, int], type[nn.Module]] = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}


def two_convolutions(
    in_channels: int, middle: int, out_channels: int, *, dims: int, norm: Norm, padding: int = 1
) -> nn.Sequential:
    """Two convolutions of kernel 3, each followed by its norm and a ReLU.

    A convolution has a bias only where no norm follows, whose shift would make it idle.
    """
    layers: list[nn.Module] = []
    for c_in, c_out in ((in_channels, middle), (middle, out_channels)):
        layers.append(CONVOLUTION[dims](c_in, c_out, 3, padding=padding, bias=norm == "none"))
        if norm != "none":
            layers.append(_NORMS[norm, dims](c_out, affine=True))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def initialise(network: nn.Module) -> None:
    """Draw every convolution's weights from N(0, 2/n), n inputs to a unit; set every bias to zero.

    He et al. 2015, as Ronneberger et al. 2015 ask for in section 3.
    """
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


def check_multiple(x: Tensor, divisor: int) -> None:
    """Refuse an image (B,C,*S) with a spatial size that is not a multiple of the divisor.

    Raises:
        ContractError: the sizes would not fit together again after pooling.
    """
    got = x.shape[2:]
    if any(size % divisor for size in got):
        wanted = " x ".join(str(math.ceil(size / divisor) * divisor) for size in got)
        raise ContractError(
            f"got spatial sizes {' x '.join(map(str, got))}; each must be a multiple of {divisor} "
            f"(2 to the power of depth): pad to {wanted}, or build the network with a smaller depth"
        )


def check_positive(**options: int) -> None:
    """Refuse options below 1.

    Raises:
        OptionError: names the option and its value.
    """
    for name, value in options.items():
        if value < 1:
            raise OptionError(f"{name} is {value}; it must be 1 or more")

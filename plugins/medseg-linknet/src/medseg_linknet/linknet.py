"""LinkNet in three dimensions.

Chaurasia & Culurciello, "LinkNet: Exploiting Encoder Representations for Efficient Semantic
Segmentation", 2017 (doi:10.1109/VCIP.2017.8305148). An encoder of residual blocks halves the grid
five times; each decoder stage doubles it and ADDS the encoder's map of that size, where a U-Net
concatenates. The 3-D form with instance norm is that of deepbet (Fisch et al. 2024,
doi:10.1016/j.compbiomed.2024.108845), whose weights the model ``brain-mask`` carries.

Shapes below are for an input of 256^3 and the default width of 16: (channels, edge).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from medseg.errors import ContractError, OptionError


class LinkNet(nn.Module):
    """3-D LinkNet: (B,C,*S) -> logits (B,K,*S); every size in S must be a multiple of 32.

    Args:
        in_channels: C.
        out_channels: K.
        dims: 3.
        width: channels after the first convolution; doubled at each later stage.
        stages: number of encoder stages, 1 to 6.

    Raises:
        OptionError: a width or a number of stages out of range.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, dims: Literal[3] = 3, width: int = 16, stages: int = 4
    ) -> None:
        super().__init__()
        if width < 2 or not 1 <= stages <= 6:
            raise OptionError(f"LinkNet wants width >= 2 and 1 to 6 stages; got {width=}, {stages=}")
        del dims  # fixed by the description; part of every architecture's signature
        widths = [width * 2**n for n in range(stages)]  # 16, 32, 64, 128
        self.divisor = 2 ** (stages + 1)
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, width, 7, stride=2, padding=3, bias=False),  # (16, 128)
            nn.InstanceNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(3, stride=2, padding=1),  # (16, 64)
        )
        pairs = list(pairwise([width, *widths]))  # (16, 16) (16, 32) (32, 64) (64, 128)
        self.encoders = nn.ModuleList(
            nn.Sequential(ResidualBlock(a, b, stride=1 if n == 0 else 2), ResidualBlock(b, b))
            for n, (a, b) in enumerate(pairs)
        )
        self.decoders = nn.ModuleList(
            DecoderBlock(b, a, stride=1 if n == 0 else 2) for n, (a, b) in enumerate(pairs)
        )
        self.num_features = width // 2
        self.final = nn.Sequential(
            nn.ConvTranspose3d(width, width // 2, 3, stride=2, padding=1, output_padding=1),  # (8, 128)
            nn.InstanceNorm3d(width // 2),
            nn.ReLU(inplace=True),
            nn.Conv3d(width // 2, width // 2, 3, padding=1),
            nn.InstanceNorm3d(width // 2),
            nn.ReLU(inplace=True),
        )
        self.score = nn.ConvTranspose3d(width // 2, out_channels, 2, stride=2)  # (2, 256)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> logits (B,K,*S)."""
        _check_sizes(x.shape[2:], self.divisor)
        x = self.stem(x)  # (16, 64)
        skips = []
        for encode in self.encoders:
            skips.append(x)  # (16, 64) (16, 64) (32, 32) (64, 16)
            x = encode(x)  # (16, 64) (32, 32) (64, 16) (128, 8)
        for n in reversed(range(len(self.decoders))):
            x = self.decoders[n](x) + skips[n]  # the link: added; (64, 16) (32, 32) (16, 64) (16, 64)
        scores: Tensor = self.score(self.final(x))
        return scores


class ResidualBlock(nn.Module):
    """Two 3^3 convolutions with instance norm, and the input added (He et al. 2016)."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            nn.InstanceNorm3d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv3d(channels_in, channels_out, 1, stride=stride, bias=False),
                nn.InstanceNorm3d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B,F,*S) -> (B,F',*S/stride)."""
        return nn.functional.relu(self.body(x) + self.shortcut(x))


class DecoderBlock(nn.Sequential):
    """1^3 convolution to a quarter of the channels, 3^3 transposed convolution, 1^3 convolution."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        inner = channels_in // 4
        super().__init__(
            nn.Conv3d(channels_in, inner, 1, bias=False),
            nn.InstanceNorm3d(inner),
            nn.ReLU(inplace=True),
            nn.ConvTranspose3d(
                inner, inner, 3, stride=stride, padding=1, output_padding=stride - 1, bias=False
            ),
            nn.InstanceNorm3d(inner),
            nn.ReLU(inplace=True),
            nn.Conv3d(inner, channels_out, 1, bias=False),
            nn.InstanceNorm3d(channels_out),
            nn.ReLU(inplace=True),
        )


def _check_sizes(sizes: Sequence[int], divisor: int) -> None:
    if any(n % divisor for n in sizes):
        wanted = tuple(-(-n // divisor) * divisor for n in sizes)
        raise ContractError(
            f"LinkNet got {tuple(sizes)} voxels; each size must be a multiple of {divisor}: pad to {wanted}"
        )

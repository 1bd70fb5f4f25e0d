"""A U-Net's way through its levels, with or without padding; U-Net and 3D U-Net give the layers."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from medseg_unets.blocks import CONVOLUTION, MAX_POOLING, check_multiple, initialise
from medseg_unets.tiles import crop_centre, mirror_border, output_size

Padding = Literal["same", "valid", "mirror"]


class EncoderDecoder(nn.Module):
    """Stages and poolings down, up-convolutions and stages up, skips across, a 1x1 convolution at the end.

    Args:
        encoder: L + 1 stages, fine to coarse; each but the last is followed by a pooling of 2.
        up: L up-convolutions of kernel and stride 2, coarse to fine.
        decoder: L stages, coarse to fine; each takes the skip and what was brought up, concatenated.
        num_features: F, channels that the last stage returns.
        out_channels: K.
        dims: 2 or 3.
        padding: ``same`` if the stages pad with zeros; every size must be a multiple of 2^L.
            ``valid`` if they do not pad: the output is the middle of the input, see ``tiles``.
            ``mirror`` for the same stages on an image with mirrored borders: any size in, the same size out.
    """

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        up: Sequence[nn.Module],
        decoder: Sequence[nn.Module],
        *,
        num_features: int,
        out_channels: int,
        dims: int,
        padding: Padding,
    ) -> None:
        super().__init__()
        self.depth = len(up)
        self.padding = padding
        self.num_features = num_features
        self.encoder = nn.ModuleList(encoder)
        self.pool = MAX_POOLING[dims](2)
        self.up = nn.ModuleList(up)
        self.decoder = nn.ModuleList(decoder)
        self.head = CONVOLUTION[dims](num_features, out_channels, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Score every voxel: (B,C,*S) -> logits (B,K,*S), smaller *S if ``padding`` is ``valid``.

        Raises:
            ContractError: the sizes do not fit the network's poolings.
        """
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Everything but the last convolution: (B,C,*S) -> (B,F,*S)."""
        image = x
        if self.padding == "same":
            check_multiple(x, 2**self.depth)
        elif self.padding == "mirror":
            x = mirror_border(x, self.depth)
        else:
            for size in x.shape[2:]:
                output_size(size, self.depth)
        skips: list[Tensor] = []
        for stage in self.encoder[:-1]:
            skips.append(stage(x))  # (B, width 2^l, *S / 2^l)
            x = self.pool(skips[-1])
        x = self.encoder[-1](x)
        for up, stage in zip(self.up, self.decoder, strict=True):
            x = up(x)
            x = stage(torch.cat((crop_centre(skips.pop(), x), x), dim=1))
        if self.padding == "mirror":  # the last tile may reach beyond the image
            for axis, size in enumerate(image.shape[2:], start=2):
                x = x.narrow(axis, 0, size)
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """(B,F,*S) -> logits (B,K,*S)."""
        logits: Tensor = self.head(features)
        return logits

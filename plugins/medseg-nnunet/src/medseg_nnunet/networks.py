"""nnU-Net's two networks: a plain convolutional U-Net, and one with a residual encoder.

Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, and 2024, doi:10.1007/978-3-031-72114-4_47. Which
stages there are, how wide they are and where they stride comes from a model's plans.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from medseg.errors import ContractError, OptionError
from medseg_nnunet.blocks import CONV, UP, Norm, ResidualStack, Stack

Stages = tuple[tuple[int, ...], ...]
"""A size for each axis and stage; one number holds for all axes."""


class Encoder(nn.Module):
    """Stages, each of which sees what the one before it made of the image."""

    def __init__(self, stages: Sequence[nn.Module], stem: nn.Module | None) -> None:
        super().__init__()
        if stem is not None:
            self.stem = stem
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B,C,*S) -> features of each stage, the finest first."""
        x = self.stem(x) if hasattr(self, "stem") else x
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """From the coarsest features upwards: transposed convolution, the skip beside it, convolutions."""

    def __init__(
        self,
        classes: int,
        features: Sequence[int],
        kernels: Stages,
        strides: Stages,
        convs: Sequence[int],
        *,
        norm: Norm,
        bias: bool,
    ) -> None:
        super().__init__()
        dims = len(kernels[0])
        once = (1,) * dims
        self.transpconvs, self.stages = nn.ModuleList(), nn.ModuleList()
        for count, level in zip(convs, range(len(features) - 1, 0, -1), strict=True):
            wide, narrow, step = features[level], features[level - 1], strides[level]
            self.transpconvs.append(UP[dims](wide, narrow, step, step, bias=bias))
            self.stages.append(
                Stack(count, 2 * narrow, narrow, kernels[level - 1], once, norm=norm, bias=bias)
            )
        # The scores of coarser stages serve deep supervision; only the finest are a result.
        self.seg_layers = nn.ModuleDict({str(len(convs) - 1): CONV[dims](features[0], classes, 1)})

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features of the encoder -> logits (B,K,*S)."""
        x = features[-1]
        for up, stage, skip in zip(self.transpconvs, self.stages, features[-2::-1], strict=True):
            x = stage(torch.cat([up(x), skip], dim=1))
        (score,) = self.seg_layers.values()
        return cast(Tensor, score(x))


class UNet(nn.Module):
    """Encoder and decoder.

    Args:
        encoder, decoder: of the same stages.
        strides: theirs, which say what sizes can be halved and doubled again.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, strides: Stages) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.multiples = tuple(math.prod(axis) for axis in zip(*strides, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> logits (B,K,*S).

        Raises:
            ContractError: a size is not a multiple of the product of its axis's strides.
        """
        if any(size % n for size, n in zip(x.shape[2:], self.multiples, strict=True)):
            raise ContractError(
                f"this network needs sizes that are multiples of {self.multiples}; got {tuple(x.shape[2:])}"
            )
        return cast(Tensor, self.decoder(self.encoder(x)))


class Ensemble(nn.Module):
    """The mean of the logits of networks of one form: nnU-Net's folds.

    nnU-Net blends all windows of a fold before it averages the folds; blending is linear, so averaging
    each window is the same.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> logits (B,K,*S)."""
        total = self.members[0](x)
        for member in self.members[1:]:
            total = total + member(x)
        return cast(Tensor, total / len(self.members))


def plain_unet(
    in_channels: int,
    out_channels: int,
    *,
    dims: int = 3,
    width: int = 32,
    features: tuple[int, ...] = (),
    kernels: Stages = ((3,), (3,), (3,)),
    strides: Stages = ((1,), (2,), (2,)),
    convs: tuple[int, ...] = (2, 2, 2),
    decoder_convs: tuple[int, ...] = (2, 2),
    norm: Norm = "instance",
    bias: bool = True,
    folds: int = 1,
) -> nn.Module:
    """nnU-Net's PlainConvUNet.

    Args:
        in_channels, out_channels, dims: as for every architecture.
        width: features of the first stage, doubled at each further one up to 320, unless ``features`` says.
        features: of each stage, the finest first.
        kernels, strides: of each stage; a stage with a stride is coarser than the one before it.
        convs: convolutions of each stage of the encoder.
        decoder_convs: of each stage of the decoder, the coarsest first.
        norm: normalisation.
        bias: whether convolutions have one.
        folds: networks whose logits are averaged.
    """
    counts = {"convs": len(convs), "decoder_convs": len(decoder_convs) + 1}
    widths = features or _widths(width, len(kernels))
    kernels, strides = _sizes(kernels, strides, {"features": len(widths), **counts}, dims)

    def one() -> nn.Module:
        before = (in_channels, *widths)
        # nnU-Net puts each stage into a Sequential of its own; its checkpoints name tensors so.
        stages = [
            nn.Sequential(Stack(n, before[s], widths[s], kernels[s], strides[s], norm=norm, bias=bias))
            for s, n in enumerate(convs)
        ]
        decoder = Decoder(out_channels, widths, kernels, strides, decoder_convs, norm=norm, bias=bias)
        return UNet(Encoder(stages, None), decoder, strides)

    return _folded(one, folds)


def residual_unet(
    in_channels: int,
    out_channels: int,
    *,
    dims: int = 3,
    width: int = 32,
    features: tuple[int, ...] = (),
    kernels: Stages = ((3,), (3,), (3,)),
    strides: Stages = ((1,), (2,), (2,)),
    blocks: tuple[int, ...] = (1, 2, 2),
    decoder_convs: tuple[int, ...] = (1, 1),
    norm: Norm = "instance",
    bias: bool = True,
    folds: int = 1,
) -> nn.Module:
    """nnU-Net's ResidualEncoderUNet; for the options see ``plain_unet``.

    Args:
        in_channels, out_channels, dims, width, features, kernels, strides: as there.
        blocks: residual blocks of each stage of the encoder.
        decoder_convs, norm, bias, folds: as there.
    """
    counts = {"blocks": len(blocks), "decoder_convs": len(decoder_convs) + 1}
    widths = features or _widths(width, len(kernels))
    kernels, strides = _sizes(kernels, strides, {"features": len(widths), **counts}, dims)

    def one() -> nn.Module:
        once = (1,) * dims
        stem = Stack(1, in_channels, widths[0], kernels[0], once, norm=norm, bias=bias)
        before = (widths[0], *widths)
        stages = [
            ResidualStack(n, before[s], widths[s], kernels[s], strides[s], norm=norm, bias=bias)
            for s, n in enumerate(blocks)
        ]
        decoder = Decoder(out_channels, widths, kernels, strides, decoder_convs, norm=norm, bias=bias)
        return UNet(Encoder(stages, stem), decoder, strides)

    return _folded(one, folds)


def _folded(one: Callable[[], nn.Module], folds: int) -> nn.Module:
    if folds < 1:
        raise OptionError(f"folds is {folds}; wanted at least 1")
    return one() if folds == 1 else Ensemble([one() for _ in range(folds)])


def _widths(width: int, stages: int) -> tuple[int, ...]:
    return tuple(min(320, width * 2**stage) for stage in range(stages))


def _sizes(kernels: Stages, strides: Stages, counts: Mapping[str, int], dims: int) -> tuple[Stages, Stages]:
    """Kernels and strides of each stage and axis, once all options are of one number of stages."""
    count = len(kernels)
    wrong = [f"{name} says {n}" for name, n in {"strides": len(strides), **counts}.items() if n != count]
    if wrong or count < 2:
        raise OptionError(f"kernels says {count} stages, {', '.join(wrong) or 'wanted at least 2'}")
    sizes = [tuple(size * dims if len(size) == 1 else size for size in sizes) for sizes in (kernels, strides)]
    if any(len(size) != dims or min(size) < 1 for stage in sizes for size in stage):
        raise OptionError(
            f"kernels {kernels} and strides {strides}: wanted {dims} sizes of at least 1 a stage"
        )
    if any(size % 2 == 0 for stage in sizes[0] for size in stage):
        raise OptionError(f"kernels {kernels}: wanted odd sizes, whose padding keeps the number of voxels")
    if any(step != 1 for step in sizes[1][0]):
        raise OptionError(f"strides {strides}: the first stage must not stride, its scores are the result")
    return sizes[0], sizes[1]

"""Attention U-Net.

O. Oktay et al.: Attention U-Net: learning where to look for the pancreas. MIDL 2018, arXiv:1804.03999.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medseg.plugin import Output
from medseg_unets.blocks import (
    CONVOLUTION,
    MAX_POOLING,
    Norm,
    check_multiple,
    check_positive,
    initialise,
    two_convolutions,
)

LINEAR = {2: "bilinear", 3: "trilinear"}
PASS = 4.0  # sigmoid(4) = 0.98: in the paper gates let everything pass at first; the number is ours


class AttentionGate(nn.Module):
    """Additive gate, eqs. (1) and (2): alpha = sigmoid(psi^T relu(W_x^T x + W_g^T g + b_g) + b_psi).

    Args:
        skip_channels: channels of the skip x; also F_int, those of the space where x and g meet.
        gate_channels: channels of the gating signal g, from the next coarser level.
        dims: 2 or 3.
    """

    def __init__(self, skip_channels: int, gate_channels: int, *, dims: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[dims]
        self.W_x = convolution(skip_channels, skip_channels, 2, stride=2, bias=False)  # to the grid of g
        self.W_g = convolution(gate_channels, skip_channels, 1)
        self.psi = convolution(skip_channels, 1, 1)
        self.interpolation = LINEAR[dims]

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Weigh each voxel of the skip.

        Args:
            x: skip (B,Fx,*S).
            g: gating signal (B,Fg,*S/2).

        Returns:
            alpha (B,1,*S) in [0, 1]; the gated skip is x * alpha.
        """
        alpha = torch.sigmoid(self.psi(F.relu(self.W_x(x) + self.W_g(g))))  # (B, 1, *S/2)
        return F.interpolate(alpha, size=x.shape[2:], mode=self.interpolation)


class AttentionUNet(nn.Module):
    """U-Net whose skips pass through additive gates, in 2-D and 3-D, as in figure 1 of the paper.

    The finest skip is not gated: its features say too little yet, the paper finds. A gate only multiplies its
    skip, as in the paper's equations; the authors' code has a further convolution after it. MONAI's
    ``AttentionUnet`` gates every level, after bringing g up to the grid of x, and pools by strides.

    Args:
        in_channels: C.
        out_channels: K, background included.
        dims: 2 or 3.
        width: channels of the first stage; they double with each level. The authors' code: 16.
        depth: L, the number of poolings. The authors' code: 4.
        norm: before each ReLU. The authors' code: batch.
        deep_supervision: in training, ``forward`` returns an ``Output`` whose extras ``side-1`` (finest,
            half the resolution) to ``side-(L-1)`` are the logits of the coarser decoder levels.

    Raises:
        OptionError: width or depth below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 3,
        width: int = 16,
        depth: int = 4,
        norm: Norm = "batch",
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        check_positive(width=width, depth=depth)
        self.depth = depth
        self.num_features = width
        channels = [width * 2**level for level in range(depth + 1)]  # 16 32 64 128 256
        self.encoder = nn.ModuleList(
            two_convolutions(c_in, c, c, dims=dims, norm=norm)
            for c_in, c in zip([in_channels, *channels], channels, strict=False)
        )
        self.pool = MAX_POOLING[dims](2)
        self.up = nn.Upsample(scale_factor=2, mode=LINEAR[dims])
        # By level: 0 is the finest, which has a stage and no gate.
        self.decoder = nn.ModuleList(
            two_convolutions(3 * c, c, c, dims=dims, norm=norm) for c in channels[:-1]
        )
        self.gates = nn.ModuleList(AttentionGate(c, 2 * c, dims=dims) for c in channels[1:-1])
        self.head = CONVOLUTION[dims](width, out_channels, 1)
        sides = channels[1:-1] if deep_supervision else []
        self.sides = nn.ModuleList(CONVOLUTION[dims](c, out_channels, 1) for c in sides)
        initialise(self)
        for gate in self.modules():
            if isinstance(gate, AttentionGate) and gate.psi.bias is not None:
                nn.init.constant_(gate.psi.bias, PASS)

    def forward(self, x: Tensor) -> Tensor | Output:
        """Score every voxel: (B,C,*S) -> logits (B,K,*S), or an ``Output`` in deeply supervised training.

        Raises:
            ContractError: a size is not a multiple of 2^L.
        """
        levels, _ = self._decode(x)
        logits = self.forward_head(levels[0])
        if not (self.training and self.sides):
            return logits
        sides = zip(self.sides, levels[1:], strict=True)
        return Output(
            logits=logits, extras={f"side-{i}": side(u) for i, (side, u) in enumerate(sides, start=1)}
        )

    def forward_features(self, x: Tensor) -> Tensor:
        """Everything but the last convolution: (B,C,*S) -> (B,F,*S)."""
        return self._decode(x)[0][0]

    def forward_head(self, features: Tensor) -> Tensor:
        """(B,F,*S) -> logits (B,K,*S)."""
        logits: Tensor = self.head(features)
        return logits

    def gate_maps(self, x: Tensor) -> dict[int, Tensor]:
        """Where the gates look: level l = 1 .. L-1 (after l poolings) -> alpha (B,1,*S/2^l) in [0, 1]."""
        return self._decode(x)[1]

    def _decode(self, x: Tensor) -> tuple[list[Tensor], dict[int, Tensor]]:
        """The decoder's maps, fine to coarse, and alpha by level."""
        check_multiple(x, 2**self.depth)
        skips: list[Tensor] = []
        for stage in self.encoder[:-1]:
            skips.append(stage(x))  # (B, width 2^l, *S / 2^l)
            x = self.pool(skips[-1])
        x = self.encoder[-1](x)
        levels: list[Tensor] = []
        maps: dict[int, Tensor] = {}
        for level in reversed(range(self.depth)):
            skip = skips.pop()
            if level > 0:
                maps[level] = self.gates[level - 1](skip, x)  # (B, 1, *S / 2^l)
                skip = skip * maps[level]
            x = self.decoder[level](torch.cat((skip, self.up(x)), dim=1))
            levels.insert(0, x)
        return levels, maps

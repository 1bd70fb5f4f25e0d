"""UNet++.

Z. Zhou, M. M. R. Siddiquee, N. Tajbakhsh, J. Liang: UNet++: redesigning skip connections to exploit
multiscale features in image segmentation. IEEE TMI 2020, doi:10.1109/TMI.2019.2959609; first DLMIA 2018,
doi:10.1007/978-3-030-00889-5_1, arXiv:1807.10165.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from medseg.errors import OptionError
from medseg.plugin import Output
from medseg_unets.blocks import (
    CONVOLUTION,
    MAX_POOLING,
    TRANSPOSED,
    Norm,
    check_multiple,
    check_positive,
    initialise,
    two_convolutions,
)

Mode = Literal["last", "ensemble", "L1", "L2", "L3", "L4"]


class UNetPlusPlus(nn.Module):
    """UNet++ in 2-D and 3-D, as in figure 1 and eq. (1) of the paper.

    Node X^{i,j} is level i (after i poolings), j steps along the skip; the backbone is X^{i,0}, and
    X^{i,j} = H([X^{i,0}, ..., X^{i,j-1}, U(X^{i+1,j-1})]). Each X^{0,d}, d = 1 .. L, can bear a branch
    with logits of its own, which is the output of the network pruned to L^d.

    MONAI's ``BasicUNetPlusPlus`` keeps the channels in the up-convolutions to level 0, where the paper's
    network of 9.04 million parameters halves them, and computes every branch in any case.

    Args:
        in_channels: C.
        out_channels: K, background included.
        dims: 2 or 3.
        width: channels at level 0; they double with each level. Paper: 32.
        depth: L, the number of poolings. Paper: 4.
        norm: before each ReLU. Paper: none.
        deep_supervision: give every branch a head. In training ``forward`` then returns an ``Output``:
            the logits of X^{0,L}, and extras ``side-1`` to ``side-(L-1)`` with those of X^{0,L-1} to X^{0,1},
            all at full resolution.
        mode: what is computed when not in training, and what the features are. ``last``: X^{0,L}.
            ``ensemble``: the mean of the branches' probabilities. ``L1`` to ``L4``: the branch X^{0,d} and no
            node that it does not need. All but ``last`` need deep supervision. It may be set later:
            ``network.mode = "L2"``.

    Raises:
        OptionError: width or depth below 1, or a mode that this network cannot run.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 3,
        width: int = 32,
        depth: int = 4,
        norm: Norm = "none",
        deep_supervision: bool = False,
        mode: Mode = "last",
    ) -> None:
        super().__init__()
        check_positive(width=width, depth=depth)
        self.depth = depth
        self.width = width
        self.out_channels = out_channels
        channels = [width * 2**level for level in range(depth + 1)]  # 32 64 128 256 512
        self.backbone = nn.ModuleList(  # X^{i,0}
            two_convolutions(c_in, c, c, dims=dims, norm=norm)
            for c_in, c in zip([in_channels, *channels], channels, strict=False)
        )
        self.pool = MAX_POOLING[dims](2)
        self.up = nn.ModuleDict()
        self.node = nn.ModuleDict()
        for i, c in enumerate(channels[:-1]):
            for j in range(1, depth - i + 1):
                self.up[f"{i},{j}"] = TRANSPOSED[dims](2 * c, c, 2, stride=2)
                self.node[f"{i},{j}"] = two_convolutions((j + 1) * c, c, c, dims=dims, norm=norm)
        branches = range(1, depth + 1) if deep_supervision else (depth,)
        self.heads = nn.ModuleDict({f"{d}": CONVOLUTION[dims](width, out_channels, 1) for d in branches})
        initialise(self)
        self.mode = mode

    @property
    def mode(self) -> Mode:
        """What is computed when not in training."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        can = ["last"]
        if len(self.heads) == self.depth:  # every branch was trained
            can += [f"L{d}" for d in range(1, min(self.depth, 4) + 1)]
            can += ["ensemble"] if self.out_channels > 1 else []
        if mode not in can:
            raise OptionError(
                f"mode is {mode!r}; with depth={self.depth}, out_channels={self.out_channels} and heads on "
                f"{len(self.heads)} of its branches this network can run {', '.join(can)}. Build it with "
                "deep_supervision=True for the others (ensemble: and with two classes or more)"
            )
        self._mode = mode

    @property
    def num_features(self) -> int:
        """F; an ensemble's features are those of all branches, one after the other."""
        return self.width * len(self._branches())

    def forward(self, x: Tensor) -> Tensor | Output:
        """Score every voxel: (B,C,*S) -> logits (B,K,*S), or an ``Output`` in deeply supervised training.

        Raises:
            ContractError: a size is not a multiple of 2^L.
        """
        if not (self.training and len(self.heads) > 1):
            return self.forward_head(self.forward_features(x))
        row = self._nodes(x, self.depth)
        branches = [self.heads[f"{d}"](row[d]) for d in range(self.depth, 0, -1)]
        sides = {f"side-{i}": logits for i, logits in enumerate(branches) if i > 0}
        return Output(logits=branches[0], extras=sides)

    def forward_features(self, x: Tensor) -> Tensor:
        """Everything but the last convolution of the branches in use: (B,C,*S) -> (B,F,*S)."""
        branches = self._branches()
        row = self._nodes(x, branches[-1])
        return torch.cat([row[d] for d in branches], dim=1)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B,F,*S) -> logits (B,K,*S); an ensemble's are the logarithm of the mean probabilities."""
        branches = self._branches()
        parts = features.chunk(len(branches), dim=1)
        logits: list[Tensor] = [self.heads[f"{d}"](part) for d, part in zip(branches, parts, strict=True)]
        if len(logits) == 1:
            return logits[0]
        log_probabilities = torch.stack([branch.log_softmax(dim=1) for branch in logits])
        return log_probabilities.logsumexp(dim=0) - math.log(len(logits))

    def _branches(self) -> list[int]:
        """The branches d in use, ascending."""
        if self.mode == "last":
            return [self.depth]
        return list(range(1, self.depth + 1)) if self.mode == "ensemble" else [int(self.mode[1:])]

    def _nodes(self, x: Tensor, depth: int) -> list[Tensor]:
        """X^{0,0} .. X^{0,depth}, each (B,width,*S), from the nodes with i + j <= depth alone."""
        check_multiple(x, 2**self.depth)
        nodes: list[list[Tensor]] = []  # nodes[i][j] is X^{i,j}: (B, width 2^i, *S / 2^i)
        for bottom in range(depth + 1):
            nodes.append([self.backbone[bottom](self.pool(nodes[-1][0]) if nodes else x)])
            for j in range(1, bottom + 1):
                i = bottom - j
                up = self.up[f"{i},{j}"](nodes[i + 1][j - 1])
                nodes[i].append(self.node[f"{i},{j}"](torch.cat((*nodes[i], up), dim=1)))
        return nodes[0]

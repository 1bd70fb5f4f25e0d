"""What passes a network's attention gates, as maps on the grid of its labels."""

import copy
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from medseg.inference.upsampling import Positions, Scores
from medseg.interpolation import sample_parallel
from medseg.storage import let_go, mapped_zeros

_LINEAR = {2: "bilinear", 3: "trilinear"}


class GatesOf(nn.Module):
    """A network's gates in place of its scores: (B,C,*S) -> (B,L,*S), by level, the finest first.

    Args:
        backbone: in eval mode, with ``gate_maps`` as ``medseg.plugin.Architecture`` describes it.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.eval()

    def levels(self, window: Sequence[int]) -> list[int]:
        """The levels that have a gate; nothing is computed for a window (1,C,*S) on the meta device."""
        unreal = copy.deepcopy(self.backbone).to("meta")
        return sorted(cast(Any, unreal).gate_maps(torch.empty(*window, device="meta")))

    def forward(self, image: Tensor) -> Tensor:
        """Look through every gate."""
        maps = cast(Any, self.backbone).gate_maps(image.clone())  # as in ``LogitsOf``
        size = image.shape[2:]
        grown = [F.interpolate(maps[level], size=size, mode=_LINEAR[len(size)]) for level in sorted(maps)]
        return torch.cat(grown, dim=1)


class GateMaps:
    """Collects float32 maps on a grid as pieces of them come in; see ``ProbabilityMaps``.

    Args:
        shape: of the wanted grid.
        levels: in the order of the channels.
    """

    def __init__(self, shape: tuple[int, int, int], levels: Sequence[int]) -> None:
        self.of_level: dict[int, NDArray[Any]] = {level: mapped_zeros(shape, np.float32) for level in levels}

    def take(self, scores: Scores, positions: Positions, axis: int, first: int) -> None:
        """Add rows; see ``ProbabilityMaps.take``."""
        rows = slice(first, first + len(positions[0]))
        for kept, channel in zip(self.of_level.values(), scores, strict=True):
            np.moveaxis(kept, axis, 0)[rows] = sample_parallel(channel, positions, "linear", 0)
            let_go(kept)

"""A tensor whose last norm and activation are still to be done: the next layer does them as it reads it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from medseg_winograd.layers import Channels

Reals = NDArray[np.float32]


class Pending(Tensor):
    """(1,C,D,H,W) float32 on the CPU; see ``Channels`` for what it stands for.

    Args:
        channels: what it is made of.
        moments: mean and variance (2,C) of these as they are, if known.
    """

    channels: Channels
    moments: NDArray[np.float64] | None

    def __new__(cls, channels: Channels, moments: NDArray[np.float64] | None = None) -> "Pending":
        """A tensor without memory of its own."""
        count = sum(len(part) for part in channels.parts)
        made: Pending = torch.Tensor._make_wrapper_subclass(
            cls, (1, count, *channels.parts[0].shape[1:]), dtype=torch.float32, device=torch.device("cpu")
        )
        made.channels, made.moments = channels, moments
        return made

    @property
    def is_raw(self) -> bool:
        """Whether nothing is to be done any more."""
        c = self.channels
        return bool((c.scale == 1).all() and (c.shift == 0).all()) and self.is_linear

    @property
    def is_linear(self) -> bool:
        """Whether there is no activation to be done."""
        return bool((self.channels.slope == 1).all())

    def plain(self) -> Tensor:
        """What it stands for, done now and kept."""
        if not self.is_raw or len(self.channels.parts) > 1:
            done = _apply(self.channels)
            self.channels = raw(done)
        return self.channels.parts[0][None]

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Anything that torch is to do itself, it does with what the tensor stands for."""
        return func(*plain(args), **plain(kwargs or {}))

    __torch_function__ = torch._C._disabled_torch_function_impl


def raw(values: Tensor) -> Channels:
    """Channels (C,D,H,W) that are seen as they are."""
    ones, nothing = np.ones(len(values), np.float32), np.zeros(len(values), np.float32)
    return Channels(parts=(values,), scale=ones, shift=nothing, slope=ones)


def plain(tree: Any) -> Any:
    """All pending tensors in arguments, done."""
    return tree_map_only(Pending, Pending.plain, tree)


def _apply(channels: Channels) -> Tensor:
    values = torch.cat(channels.parts) if len(channels.parts) > 1 else channels.parts[0].clone()
    scale, shift, slope = (
        torch.from_numpy(told)[:, None, None, None]
        for told in (channels.scale, channels.shift, channels.slope)
    )
    values.mul_(scale).add_(shift)
    if bool((slope == slope[0]).all()):
        return F.leaky_relu_(values, float(slope[0])) if float(slope[0]) != 1 else values
    return torch.where(values > 0, values, values * slope)

"""A tensor whose last norm and activation are still to be done: the next layer does them as it reads it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map_only

from medseg_winograd.layers import Channels


class Pending(Tensor):
    """(1,C,D,H,W) float32 on the CPU, of a shape but without memory of its own; ``pending`` makes it.

    Nobody writes into its channels, which others may share. Once torch has seen what it stands for, which
    torch may write into, it is that tensor and nothing else.

    Attributes:
        channels: what it stands for.
        moments: mean and variance (2,C) of the channels as they are, if known.
        settle: writes what channels stand for, (C,D,H,W), to memory of its own.
        settled: the tensor that it is, once torch has seen it.
    """

    channels: Channels
    moments: NDArray[np.float64] | None
    settle: Callable[[Channels], Tensor]
    settled: Tensor | None

    @property
    def is_linear(self) -> bool:
        """Whether no activation is to be done."""
        return bool((self.channels.slope == 1).all())

    @property
    def is_raw(self) -> bool:
        """Whether nothing at all is to be done."""
        c = self.channels
        return self.is_linear and bool((c.scale == 1).all() and (c.shift == 0).all())

    def plain(self) -> Tensor:
        """The tensor that it is from now on."""
        if self.settled is None:
            self.settled = self.settle(self.channels)[None]
        return self.settled

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as torch says

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own documentation has this signature
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What torch does without asking for its functions, it does with the tensor."""
        return func(*plain(args), **plain(dict(kwargs or {})))


def pending(
    channels: Channels,
    settle: Callable[[Channels], Tensor],
    moments: NDArray[np.float64] | None = None,
) -> Pending:
    """A tensor that stands for channels; see ``Pending``."""
    count = sum(len(part) for part in channels.parts)
    made: Pending = torch.Tensor._make_wrapper_subclass(
        Pending, (1, count, *channels.parts[0].shape[1:]), dtype=torch.float32, device=torch.device("cpu")
    )
    made.channels, made.moments, made.settle, made.settled = channels, moments, settle, None
    return made


def raw(values: Tensor) -> Channels:
    """Channels (C,D,H,W) that are seen as they are."""
    ones, nothing = np.ones(len(values), np.float32), np.zeros(len(values), np.float32)
    return Channels(parts=(values,), scale=ones, shift=nothing, slope=ones)


def plain(tree: Any) -> Any:
    """Arguments with every pending tensor settled."""
    return tree_map_only(Pending, Pending.plain, tree)


def known(tree: Any) -> Any:
    """Arguments in which what torch has seen is the tensor that it is."""
    return tree_map_only(Pending, lambda p: p if p.settled is None else p.settled, tree)


def is_pending(value: Any) -> TypeGuard[Pending]:
    """Whether something is a tensor that torch has not seen yet."""
    return isinstance(value, Pending) and value.settled is None


def channels_of(image: Tensor) -> Channels:
    """The channels of a tensor (1,C,D,H,W), pending or not, to be read at once."""
    return image.channels if is_pending(image) else raw(image[0].contiguous())

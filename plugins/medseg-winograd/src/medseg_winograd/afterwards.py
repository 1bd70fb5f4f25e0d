"""What is done to an answer afterwards without touching it: norms, activations, other channels beside it.

Each function has the arguments of torch's, and answers None where torch is to do it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from medseg_winograd.layers import Channels
from medseg_winograd.pending import Pending, channels_of, is_pending, pending, raw

Numbers = NDArray[np.float64]


def join(tensors: Sequence[Tensor], dim: int = 0) -> Pending | None:
    """Channels of several tensors, one after the other."""
    if dim not in (1, -4) or not any(is_pending(t) for t in tensors):
        return None
    same = {(t.ndim, len(t), t.dtype, t.device, tuple(t.shape[2:])) for t in tensors}
    if len(same) > 1:
        return None
    settle = next(t.settle for t in tensors if is_pending(t))
    # Of those that torch can write into, before these channels are read, a copy.
    each = [channels_of(t) if is_pending(t) else raw(channels_of(t).parts[0].clone()) for t in tensors]
    return pending(
        Channels(
            parts=tuple(part for c in each for part in c.parts),
            scale=np.concatenate([c.scale for c in each]),
            shift=np.concatenate([c.shift for c in each]),
            slope=np.concatenate([c.slope for c in each]),
        ),
        settle,
    )


def _instance_norm(
    input: Pending,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Pending | None:
    if input.moments is None or not input.is_raw or not use_input_stats or running_mean is not None:
        return None
    if math.prod(input.shape[2:]) < 2 or not _fit(input, weight, bias):
        return None
    return _normalised(input, input.moments, weight, bias, eps)


def _batch_norm(
    input: Pending,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Pending | None:
    if training or running_mean is None or running_var is None or not input.is_linear:
        return None
    if not _fit(input, running_mean, running_var, weight, bias):
        return None
    return _normalised(input, np.stack([_numbers(running_mean), _numbers(running_var)]), weight, bias, eps)


def _normalised(
    image: Pending, moments: Numbers, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Pending:
    mean, variance = moments
    scale = (1 if weight is None else _numbers(weight)) / np.sqrt(variance + eps)
    shift = (0 if bias is None else _numbers(bias)) - mean * scale
    c = image.channels
    seen = replace(c, scale=_reals(c.scale * scale), shift=_reals(c.shift * scale + shift))
    return pending(seen, image.settle)


def _leaky_relu(input: Pending, negative_slope: float = 0.01, inplace: bool = False) -> Pending | None:
    return _activated(input, np.full(input.shape[1], negative_slope), inplace=inplace)


def _relu(input: Pending, inplace: bool = False) -> Pending | None:
    return _activated(input, np.zeros(input.shape[1]), inplace=inplace)


def _relu_in_place(input: Pending) -> Pending | None:
    return _relu(input, inplace=True)


def _prelu(input: Pending, weight: Tensor) -> Pending | None:
    if weight.numel() not in (1, input.shape[1]):
        return None
    return _activated(input, np.broadcast_to(_numbers(weight), (input.shape[1],)), inplace=False)


def _activated(image: Pending, slope: Numbers, *, inplace: bool) -> Pending | None:
    if not image.is_linear:
        return None
    seen = replace(image.channels, slope=_reals(slope))
    if not inplace:
        return pending(seen, image.settle)
    image.channels, image.moments = seen, None
    return image


def _dropout(input: Pending, p: float = 0.5, training: bool = True, inplace: bool = False) -> Pending | None:
    return None if training else input


def _fit(image: Pending, *values: Tensor | None) -> bool:
    """Whether there is one value for each channel; torch says what is wrong with others."""
    return all(v is None or tuple(v.shape) == (image.shape[1],) for v in values)


def _numbers(values: Tensor) -> Numbers:
    return values.detach().numpy().astype(np.float64)


def _reals(values: Numbers) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


AFTERWARDS: dict[Any, Callable[..., Pending | None]] = {
    F.instance_norm: _instance_norm,
    F.batch_norm: _batch_norm,
    F.leaky_relu: _leaky_relu,
    F.relu: _relu,
    torch.relu: _relu,
    Tensor.relu: _relu,
    torch.relu_: _relu_in_place,
    Tensor.relu_: _relu_in_place,
    torch.prelu: _prelu,
    F.dropout: _dropout,
    F.dropout3d: _dropout,
}

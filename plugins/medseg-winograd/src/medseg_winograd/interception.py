"""Which of torch's functions are done by layers here, while a network runs: the rest torch does itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from medseg_winograd.crew import Crew
from medseg_winograd.layers import Channels, Layer, plan_convolution, plan_transposed
from medseg_winograd.machine import Machine
from medseg_winograd.pending import Pending, plain, raw


class Layers:
    """The layers of one network that are planned, for each shape of their input.

    Args:
        machine: with the kernels.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._planned: dict[tuple[Any, ...], tuple[Layer, Tensor]] = {}

    def get(
        self, weight: Tensor, bias: Tensor | None, size: tuple[int, ...], *, transposed: bool, **steps: Any
    ) -> Layer:
        """The layer of some weights; made when it is first asked for."""
        key = (id(weight), size, transposed, *steps.values())
        if key not in self._planned:
            plan = plan_transposed if transposed else plan_convolution
            given = (t if t is None else t.detach().numpy() for t in (weight, bias))
            # With the weights, so that no others take their place in memory, and their key.
            self._planned[key] = plan(self._machine, *given, size, **steps), weight
        return self._planned[key][0]


class Interception(TorchFunctionMode):
    """While it is active, convolutions and what follows them are done by layers here.

    Args:
        layers: of the network.
        crew: that runs them.
    """

    def __init__(self, layers: Layers, crew: Crew) -> None:
        super().__init__()
        self._layers, self._crew = layers, crew

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do a function of torch's."""
        kwargs = kwargs or {}
        if func in _LAYERS:
            layer = _LAYERS[func](self._layers, *args, **kwargs)
            if layer is not None:
                return Pending(*_run(layer, args[0], self._crew))
        elif func in _AFTERWARDS and isinstance(args[0], Pending):
            done = _AFTERWARDS[func](*args, **kwargs)
            if done is not None:
                return done
        elif func is torch.cat:
            joined = _join(*args, **kwargs)
            if joined is not None:
                return joined
        elif getattr(func, "__name__", "") == "__get__":
            return func(*args, **kwargs)  # the shape and the like, which a pending tensor has
        return func(*plain(args), **plain(kwargs))


def _run(layer: Layer, image: Tensor, crew: Crew) -> tuple[Channels, NDArray[np.float64]]:
    given = image.channels if isinstance(image, Pending) else raw(image[0].contiguous())
    answer, moments = layer.run(given, crew)
    return raw(answer), moments


def _convolution(
    layers: Layers,
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Layer | None:
    steps, around = _three(stride), _three(padding)
    able = around is not None and steps is not None and steps[2] <= 2 and groups == 1
    if not able or _three(dilation) != (1, 1, 1) or not _is_ours(image, weight):
        return None
    return layers.get(weight, bias, tuple(image.shape[2:]), transposed=False, stride=steps, padding=around)


def _transposed(
    layers: Layers,
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Layer | None:
    steps = _three(stride)
    able = steps == tuple(weight.shape[2:]) and steps[2] <= 2 and groups == 1
    none = _three(padding) == _three(output_padding) == (0, 0, 0) and _three(dilation) == (1, 1, 1)
    if not able or not none or not _is_ours(image, weight):
        return None
    return layers.get(weight, bias, tuple(image.shape[2:]), transposed=True, stride=steps)


def _is_ours(image: Tensor, weight: Tensor) -> bool:
    """One image of a batch, and weights that stay: others would have to be laid out anew each time."""
    floats = image.dtype == weight.dtype == torch.float32 and image.device.type == "cpu"
    return isinstance(weight, nn.Parameter) and floats and image.ndim == 5 and len(image) == 1


def _three(value: Any) -> tuple[int, int, int] | None:
    """One number or three as three; None of what is neither."""
    values = (value,) * 3 if isinstance(value, int) else value
    return tuple(values) if isinstance(values, tuple | list) and len(values) == 3 else None  # type: ignore[return-value]


def _instance_norm(
    image: Pending,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,  # noqa: FBT001, FBT002  # torch's signature, and below
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Pending | None:
    if image.moments is None or not image.is_raw or not use_input_stats or running_mean is not None:
        return None
    mean, variance = image.moments
    return _scaled(image, mean, variance, weight, bias, eps)


def _batch_norm(
    image: Pending,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,  # noqa: FBT001, FBT002
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Pending | None:
    if training or running_mean is None or running_var is None or not image.is_linear:
        return None
    return _scaled(image, _numbers(running_mean), _numbers(running_var), weight, bias, eps)


def _scaled(
    image: Pending,
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Pending:
    scale = (1 if weight is None else _numbers(weight)) / np.sqrt(variance + eps)
    shift = (0 if bias is None else _numbers(bias)) - mean * scale
    c = image.channels
    seen = replace(
        c,
        scale=(c.scale * scale).astype(np.float32),
        shift=(c.shift * scale + shift).astype(np.float32),
    )
    return Pending(seen)


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.detach().numpy().astype(np.float64)


def _leaky(image: Pending, negative_slope: float = 0.01, inplace: bool = False) -> Pending | None:  # noqa: FBT001, FBT002
    return _activated(image, np.full(image.shape[1], negative_slope), inplace=inplace)


def _leaky_in_place(image: Pending, negative_slope: float = 0.01) -> Pending | None:
    return _activated(image, np.full(image.shape[1], negative_slope), inplace=True)


def _relu(image: Pending, inplace: bool = False) -> Pending | None:  # noqa: FBT001, FBT002
    return _activated(image, np.zeros(image.shape[1]), inplace=inplace)


def _relu_in_place(image: Pending) -> Pending | None:
    return _activated(image, np.zeros(image.shape[1]), inplace=True)


def _prelu(image: Pending, weight: Tensor) -> Pending | None:
    return _activated(image, np.broadcast_to(_numbers(weight), (image.shape[1],)), inplace=False)


def _activated(image: Pending, slope: NDArray[np.float64], *, inplace: bool) -> Pending | None:
    if not image.is_linear:
        return None
    seen = replace(image.channels, slope=np.ascontiguousarray(slope, np.float32))
    if not inplace:
        return Pending(seen)
    image.channels, image.moments = seen, None
    return image


def _unchanged(
    image: Pending, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Pending | None:  # noqa: FBT001, FBT002
    return None if training else image


def _join(tensors: Sequence[Tensor], dim: int = 0) -> Pending | None:
    """Channels of several tensors, side by side without a copy."""
    if dim not in (1, -4) or not any(isinstance(t, Pending) for t in tensors):
        return None
    if any(t.ndim != 5 or len(t) != 1 or t.dtype != torch.float32 for t in tensors):
        return None
    if len({tuple(t.shape[2:]) for t in tensors}) > 1:
        return None  # torch says what is wrong
    each = [t.channels if isinstance(t, Pending) else raw(t[0].contiguous()) for t in tensors]
    return Pending(
        Channels(
            parts=tuple(part for c in each for part in c.parts),
            scale=np.concatenate([c.scale for c in each]),
            shift=np.concatenate([c.shift for c in each]),
            slope=np.concatenate([c.slope for c in each]),
        )
    )


_LAYERS: dict[Any, Callable[..., Layer | None]] = {
    torch.conv3d: _convolution,
    torch.conv_transpose3d: _transposed,
}
_AFTERWARDS: dict[Any, Callable[..., Pending | None]] = {
    F.instance_norm: _instance_norm,
    F.batch_norm: _batch_norm,
    F.leaky_relu: _leaky,
    F.leaky_relu_: _leaky_in_place,
    F.relu: _relu,
    torch.relu: _relu,
    Tensor.relu: _relu,
    torch.relu_: _relu_in_place,
    Tensor.relu_: _relu_in_place,
    torch.prelu: _prelu,
    F.dropout: _unchanged,
    F.dropout3d: _unchanged,
}

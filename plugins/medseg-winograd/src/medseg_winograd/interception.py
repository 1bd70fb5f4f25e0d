"""Which of torch's functions are done by layers here while a network runs; the rest torch does itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from medseg_winograd.afterwards import AFTERWARDS, join
from medseg_winograd.crew import Crew
from medseg_winograd.layers import Layer, Reals, Size, settle
from medseg_winograd.machine import Machine
from medseg_winograd.memory import Memory
from medseg_winograd.pending import Pending, channels_of, is_pending, pending, raw
from medseg_winograd.plans import direct, winograd


class Layers:
    """The layers of one network that are planned, each for the shapes that its input had.

    Args:
        machine: with the kernels.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._planned: dict[tuple[Any, ...], _Planned] = {}

    def get(
        self,
        kind: str,
        weights: tuple[Tensor, Tensor | None],
        given: tuple[Any, ...],
        make: Callable[[], Layer],
    ) -> Layer:
        """The layer of a weight and a bias, and of what else decides it; made anew when they were changed."""
        key = (kind, *map(id, weights), *given)
        versions = tuple(None if w is None or w.is_inference() else w._version for w in weights)
        planned = self._planned.get(key)
        if planned is None or planned.versions != versions:
            planned = self._planned[key] = _Planned(make(), weights, versions)
        return planned.layer


@dataclass(frozen=True)
class _Planned:
    """A layer, and what it was made of, which is held so that nothing else gets its number."""

    layer: Layer
    weights: tuple[Tensor, Tensor | None]
    versions: tuple[int | None, ...]


class Interception(TorchFunctionMode):
    """While it is active, convolutions and what follows them are done by layers here.

    Args:
        layers: of the network.
        crew: that runs them.
        memory: for their answers.
    """

    def __init__(self, layers: Layers, crew: Crew, memory: Memory) -> None:
        super().__init__()
        self._layers, self._crew, self._memory = layers, crew, memory

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do a function of torch's, or have torch do it with what pending tensors stand for."""
        kwargs = kwargs or {}
        if func in _LAYERS:
            layer = _LAYERS[func](self._layers, *args, **kwargs)
            if layer is not None:
                return self._run(layer, args[0] if args else kwargs["input"])
        elif func in AFTERWARDS and args and is_pending(args[0]):
            done = AFTERWARDS[func](*args, **kwargs)
            if done is not None:
                return done
        elif func in (torch.cat, torch.concat):
            joined = join(*args, **kwargs)
            if joined is not None:
                return joined
        elif func in _OF_SHAPE:
            return func(*args, **kwargs)
        return func(*tree_map_only(Pending, self.settle, args), **tree_map_only(Pending, self.settle, kwargs))

    def settle(self, image: Pending) -> Tensor:
        """What a tensor stands for, in memory of its own."""
        if image.settled is None:
            out = self._memory.empty(image.shape[1:])
            settle(image.channels, out, self._layers.machine, self._crew)
            image.settled = out[None]
        return image.settled

    def finish(self, answer: Tensor) -> Tensor:
        """The same of a network's answer, which nobody shares any more."""
        if is_pending(answer) and answer.is_raw and len(answer.channels.parts) == 1:
            return answer.channels.parts[0][None]
        return self.settle(answer) if isinstance(answer, Pending) else answer

    def _run(self, layer: Layer, image: Tensor) -> Pending:
        out = self._memory.empty(layer.shape)
        moments = layer.run(channels_of(image), out, self._crew)
        return pending(raw(out), moments)


def _convolution(
    layers: Layers,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Layer | None:
    steps, around = _size(stride), _size(padding)
    if steps is None or around is None or steps[2] > 2 or groups != 1 or _size(dilation) != (1, 1, 1):
        return None
    size = _able(input, weight, weight.shape[1] if weight.ndim == 5 else 0)
    kernel = _size(weight.shape[2:])
    if size is None or kernel is None or min(direct.answer_of(size, kernel, steps, around)) < 1:
        return None

    def make() -> Layer:
        given = layers.machine, _numbers(weight), None if bias is None else _numbers(bias), size
        if winograd.pays(kernel, steps, around, size):
            return winograd.plan(*given)
        return direct.plan_convolution(*given, stride=steps, padding=around)

    return layers.get("convolution", (weight, bias), (size, steps, around), make)


def _transposed(
    layers: Layers,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Layer | None:
    steps = _size(stride)
    if steps is None or steps != tuple(weight.shape[2:]) or steps[2] > 2 or groups != 1:
        return None
    if not _size(padding) == _size(output_padding) == (0, 0, 0) or _size(dilation) != (1, 1, 1):
        return None
    size = _able(input, weight, weight.shape[0])
    if size is None:
        return None

    def make() -> Layer:
        given = layers.machine, _numbers(weight), None if bias is None else _numbers(bias), size
        return direct.plan_transposed(*given, stride=steps)

    return layers.get("transposed", (weight, bias), (size, steps), make)


def _able(image: Tensor, weight: Tensor, channels: int) -> Size | None:
    """The size of an image that a layer can take: one of a batch, float32, on the CPU.

    And of weights that stay: others would have to be laid out anew each time.
    """
    kind = (torch.float32, torch.device("cpu"))
    able = isinstance(weight, nn.Parameter) and image.ndim == 5 and len(image) == 1
    if not able or (image.dtype, image.device) != kind or (weight.dtype, weight.device) != kind:
        return None
    return _size(image.shape[2:]) if image.shape[1] == channels and image.numel() else None


def _size(value: Any) -> Size | None:
    """One number, or three, for the axes; None of what is neither."""
    if isinstance(value, int):
        return value, value, value
    if not isinstance(value, tuple | list) or len(value) != 3:
        return None
    depth, height, width = value
    return depth, height, width


def _numbers(values: Tensor) -> Reals:
    return values.detach().numpy()


_LAYERS: dict[Any, Callable[..., Layer | None]] = {
    torch.conv3d: _convolution,
    torch.conv_transpose3d: _transposed,
}
# What a tensor without values knows.
_OF_SHAPE = {
    *(getattr(Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "is_cuda")),
    Tensor.size,
    Tensor.dim,
    Tensor.numel,
    Tensor.__len__,
    torch.is_tensor,
    torch.is_floating_point,
}

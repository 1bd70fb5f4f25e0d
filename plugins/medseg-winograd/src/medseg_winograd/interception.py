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
from medseg_winograd.layers import Channels, Layer, Reals, Size, settle
from medseg_winograd.machine import Machine
from medseg_winograd.memory import Memory
from medseg_winograd.pending import Pending, channels_of, is_pending, known, pending, plain, raw
from medseg_winograd.plans import direct, winograd

_MOST = 500  # layers that are planned at a time: of weights that a network makes anew they would pile up


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
        state = tuple(map(_state, weights))
        planned = self._planned.get(key)
        if planned is None or planned.state != state:
            if len(self._planned) >= _MOST:
                del self._planned[next(iter(self._planned))]
            planned = self._planned[key] = _Planned(make(), weights, state)
        return planned.layer


@dataclass(frozen=True)
class _Planned:
    """A layer, and what it was made of, which is held so that nothing else gets its number."""

    layer: Layer
    weights: tuple[Tensor, Tensor | None]
    state: tuple[Any, ...]


def _state(weight: Tensor | None) -> tuple[Any, ...]:
    """What is another when a weight's values were changed."""
    if weight is None:
        return ()
    version = None if weight.is_inference() else weight._version
    return version, weight.data_ptr(), tuple(weight.shape)


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
        given, named = known(tuple(args)), known(dict(kwargs or {}))
        if func in _OF_SHAPE:
            return func(*given, **named)
        if not torch.is_autocast_enabled("cpu"):
            done = self._ours(func, given, named)
            if done is not None:
                return done
        return func(*plain(given), **plain(named))

    def finish(self, answer: Any) -> Any:
        """A network's answer, which nobody shares any more, as torch has it."""

        def finished(image: Pending) -> Tensor:
            if is_pending(image) and image.is_raw and len(image.channels.parts) == 1:
                return image.channels.parts[0][None]
            return image.plain()

        return tree_map_only(Pending, finished, answer)

    def _ours(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Pending | None:
        """What a layer here makes of it; None if torch is to do it."""
        if func in _LAYERS:
            layer = _LAYERS[func](self._layers, *args, **kwargs)
            return None if layer is None else self._run(layer, args[0] if args else kwargs["input"])
        if func in AFTERWARDS and args and is_pending(args[0]):
            return AFTERWARDS[func](*args, **kwargs)
        if func in (torch.cat, torch.concat) and kwargs.keys() <= {"tensors", "dim"}:
            return join(*args, **kwargs)
        return None

    def _run(self, layer: Layer, image: Tensor) -> Pending:
        out = self._memory.empty(layer.shape)
        moments = layer.run(channels_of(image), out, self._crew)
        return pending(raw(out), self._settle, moments)

    def _settle(self, channels: Channels) -> Tensor:
        shape = sum(len(part) for part in channels.parts), *channels.parts[0].shape[1:]
        out = self._memory.empty(shape)
        settle(channels, out, self._layers.machine, self._crew)
        return out


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
    if steps is None or around is None or groups != 1 or _size(dilation) != (1, 1, 1):
        return None
    if min(steps) < 1 or steps[2] > 2 or min(around) < 0 or weight.ndim != 5:
        return None
    size = _able(input, weight, bias, shape=(weight.shape[1], weight.shape[0]))
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
    if steps is None or steps != tuple(weight.shape[2:]) or min(steps) < 1 or steps[2] > 2 or groups != 1:
        return None
    if not _size(padding) == _size(output_padding) == (0, 0, 0) or _size(dilation) != (1, 1, 1):
        return None
    size = _able(input, weight, bias, shape=(weight.shape[0], weight.shape[1]))
    if size is None:
        return None

    def make() -> Layer:
        given = layers.machine, _numbers(weight), None if bias is None else _numbers(bias), size
        return direct.plan_transposed(*given, stride=steps)

    return layers.get("transposed", (weight, bias), (size, steps), make)


def _able(image: Tensor, weight: Tensor, bias: Tensor | None, *, shape: tuple[int, int]) -> Size | None:
    """The size of an image that a layer of these channels in and out can take: one of a batch.

    All float32 on the CPU, and weights that stay: others would have to be laid out anew each time.
    """
    channels, answers = shape
    if image.ndim != 5 or len(image) != 1 or image.shape[1] != channels or not image.numel():
        return None
    if bias is not None and tuple(bias.shape) != (answers,):
        return None
    weights = [weight] if bias is None else [weight, bias]
    if not all(isinstance(w, nn.Parameter) for w in weights) or not weight.numel():
        return None
    kinds = {(t.dtype, t.device) for t in (image, *weights)}
    return _size(image.shape[2:]) if kinds == {(torch.float32, torch.device("cpu"))} else None


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

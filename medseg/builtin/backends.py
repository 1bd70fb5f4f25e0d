"""Ways that torch itself runs a network; other engines are in files of their own.

Each factory takes a module in eval mode and an example of its input, and returns a callable with the
module's signature for inputs of that shape. The module itself stays as it was.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from medseg.builtin.tracing import quiet
from medseg.errors import ResourceError

Call = Callable[[Tensor], Tensor]


def eager(module: nn.Module, example: Tensor) -> Call:  # noqa: ARG001  # every backend is given an example
    """The module itself."""
    return module


def channels_last(module: nn.Module, example: Tensor) -> Call:
    """The module with a voxel's channels side by side in memory; good where nothing is instance norm."""
    layout: Any = {4: torch.channels_last, 5: torch.channels_last_3d}[example.ndim]
    turned = copy.deepcopy(module)
    turned.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs know it with four axes only
    return lambda x: turned(x.contiguous(memory_format=layout)).contiguous()


def compiled(module: nn.Module, example: Tensor) -> Call:
    """The module through torch.compile, for the example's shape; the first call takes a minute or so.

    Raises:
        ResourceError: there is no C++ compiler that torch can use.
    """
    fast = torch.compile(copy.deepcopy(module), dynamic=False)
    try:
        with torch.inference_mode(), quiet():
            fast(example.contiguous())
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise ResourceError(
            f"torch.compile failed: {str(error).splitlines()[0]}. Is a C++ compiler installed?"
        ) from error
    return lambda x: fast(x.contiguous())  # a window has its image's strides, and is compiled for by these


def autocast(module: nn.Module, example: Tensor) -> Call:
    """The module in float16 where torch deems it safe, in float32 elsewhere; on CUDA."""
    return _cast(module, example, torch.float16)


def autocast_bfloat16(module: nn.Module, example: Tensor) -> Call:
    """The module in bfloat16 where torch deems it safe, in float32 elsewhere; on CUDA.

    Raises:
        ResourceError: the GPU has no bfloat16 arithmetic.
    """
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ResourceError("this GPU has no bfloat16 arithmetic, which begins with compute capability 8.0")
    return _cast(module, example, torch.bfloat16)


def _cast(module: nn.Module, example: Tensor, dtype: torch.dtype) -> Call:
    turned = channels_last(module, example)  # as tensor cores want it

    def call(x: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=dtype):
            return turned(x).float()

    return call

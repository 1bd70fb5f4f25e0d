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
            fast(example)
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise ResourceError(
            f"torch.compile failed: {str(error).splitlines()[0]}. Is a C++ compiler installed?"
        ) from error
    return fast


def autocast(module: nn.Module, example: Tensor) -> Call:  # noqa: ARG001  # as above
    """The module in float16 where torch deems it safe, in float32 elsewhere; on CUDA."""
    return _cast(module, torch.float16)


def autocast_bfloat16(module: nn.Module, example: Tensor) -> Call:  # noqa: ARG001  # as above
    """The module in bfloat16 where torch deems it safe, in float32 elsewhere; on CUDA."""
    return _cast(module, torch.bfloat16)


def _cast(module: nn.Module, dtype: torch.dtype) -> Call:
    def call(x: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=dtype):
            answer: Tensor = module(x)
        return answer.float()

    return call

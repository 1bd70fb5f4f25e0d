"""The backend: a module as a function, with its convolutions done here."""

import threading
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from medseg_winograd.crew import Crew
from medseg_winograd.interception import Interception, Layers
from medseg_winograd.machine import machine
from medseg_winograd.memory import Memory

Call = Callable[[Tensor], Tensor]


def winograd(
    module: nn.Module,
    example: Tensor,  # noqa: ARG001  # layers are planned for the shapes that come
    *,
    saved: str = "",
) -> Call:
    """The module in float32: as torch runs it, but for its convolutions and the norms that follow them.

    Torch's number of threads is used; they end with each call.

    Args:
        module: in eval mode, (B,C,*S) -> (B,K,*S).
        example: (B,C,*S); any shape may follow.
        saved: file that the kernels' machine code is kept in, and read from if it is there; none if empty.
    """
    layers, asking = Layers(machine(saved=saved)), threading.RLock()

    def run(window: Tensor) -> Tensor:
        with Crew(torch.get_num_threads()) as crew:
            interception = Interception(layers, crew, Memory())
            with interception:
                answer = module(window)
            return cast(Tensor, interception.finish(answer))

    def call(windows: Tensor) -> Tensor:
        with asking, torch.inference_mode():
            if len(windows) <= 1:
                return run(windows)
            return torch.cat([run(window[None]) for window in windows])

    return call

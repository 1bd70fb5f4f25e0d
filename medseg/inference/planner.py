"""Plans the memory of one model's runs: what its network needs is found out once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from medseg.cache import remember_int
from medseg.inference.code import code_of
from medseg.inference.execution import Execution
from medseg.inference.live import live_bytes, resident_bytes
from medseg.inference.memory import MemoryPlan, Task, fit_memory, fit_vram
from medseg.plugin import Model, Slices, WholeGrid


class Planner:
    """Plans runs of one model on one device.

    Args:
        description: the contract.
        device: where it runs.
        execution: the limits, and what is wanted besides labels.
        depends: what says which network it is; JSON values.
        batches: whether it takes several windows at once.
    """

    def __init__(
        self,
        description: Model,
        device: torch.device,
        execution: Execution,
        depends: Mapping[str, Any],
        *,
        batches: bool,
    ) -> None:
        # Which number of windows fits depends on what else is on the GPU, and so would the last digits.
        self._batches = batches and not execution.deterministic
        self._depends = depends
        self._description, self._device, self._execution = description, device, execution
        self._window_bytes: int | None = None

    def plan(
        self,
        module: nn.Module,
        shape: tuple[int, ...],
        home: tuple[int, ...],
        *,
        maps: bool = False,
        held: int = 0,
        choosing: bool = False,
    ) -> MemoryPlan:
        """The memory of one run, made to fit the limits.

        Args:
            module: (1,C,*window) -> logits (1,K,*window), as torch runs it.
            shape: of the network's image.
            home: shape of the grid that the labels are wanted on.
            maps: probabilities too.
            held: bytes of the run that the process holds already.
            choosing: a backend is yet to be chosen.

        Raises:
            ResourceError: it does not fit.
        """
        description, patch = self._description, self._description.input.patch
        channels = len(description.input.channels)
        if self._window_bytes is None:
            window = window_shape(description)
            # Counting takes more than a second in a new process, because torch imports its compiler for it.
            known = {**self._depends, "code": code_of(module), "window": window, "torch": torch.__version__}
            self._window_bytes = remember_int("sizes", known, lambda: live_bytes(module, window))
        on_cpu = self._device.type == "cpu"
        task = Task(
            patch=patch,
            channels=channels,
            classes=len(description.labels) - description.regions,
            shape=shape,
            home=home,
            window_bytes=self._window_bytes if on_cpu else 0,
            before=resident_bytes() - held,
            maps=maps,
            on_gpu=not on_cpu,
            mirrored=bool(self._execution.mirror),
            keeps=on_cpu and self._execution.max_ram is None,
            finished=bool(description.post),
            choosing=self._execution.precision if choosing and on_cpu else None,
        )
        if on_cpu:
            return fit_memory(task, self._execution.max_ram)
        idle = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        free = torch.cuda.mem_get_info(self._device)[0] + idle  # torch keeps what it had, for what comes
        limit = self._execution.max_vram
        room, vram = fit_vram(
            replace(task, window_bytes=self._window_bytes),
            free if limit is None else min(free, limit),
            batches=self._batches and self._execution.backend == "eager",
            refuse=limit is not None,
        )
        return replace(fit_memory(task, self._execution.max_ram, least=room), vram=vram)

    def measured(self, window_bytes: int) -> None:
        """Take a backend's own need for a window, which was watched, in place of what was counted."""
        self._window_bytes = window_bytes


def window_shape(description: Model) -> tuple[int, ...]:
    """What a model's network sees at once, (1,C,*window)."""
    channels, patch = len(description.input.channels), description.input.patch
    stacked = channels * (2 * patch.neighbours + 1) if isinstance(patch, Slices) else channels
    return 1, stacked, *(patch.shape if isinstance(patch, WholeGrid) else patch.size)

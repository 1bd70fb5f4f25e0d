"""How a model is run: what changes speed, memory and repeatability, and not what is segmented."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Settings of the engine, recorded with each result.

    Args:
        backend: a backend's name, or ``auto`` for the fastest that agrees with torch on a window.
        mirror: average over all flips of each window along the axes that the model was trained with:
            up to eight times the work in 3-D.
        deterministic: the same bytes on the same machine, run after run, where a GPU would not.
        probabilities: also keep the probability of each label, and their entropy, on the disk.
        attention: also keep the maps of the network's attention gates, if it has any: a second pass.
        max_ram: bytes that the process may use: large arrays go to the disk until the run is predicted to
            need no more, and one that cannot is refused.
        max_vram: bytes that may be used of the GPU's memory, likewise; what is free, if None.
    """

    backend: str = "eager"
    mirror: bool = False
    deterministic: bool = False
    probabilities: bool = False
    attention: bool = False
    max_ram: int | None = None
    max_vram: int | None = None


@contextlib.contextmanager
def repeatable(wanted: bool) -> Iterator[None]:  # noqa: FBT001  # a switch is all that it takes
    """While the block runs, torch uses only algorithms that give the same bits each time, if wanted.

    On the CPU they do so anyway, with the same number of threads; on CUDA, cuDNN would time its
    algorithms and pick another one another day.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        if wanted:
            torch.use_deterministic_algorithms(mode=True)
            torch.backends.cudnn.benchmark = False
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before[0])
        torch.backends.cudnn.benchmark = before[1]

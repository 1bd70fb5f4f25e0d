"""How a model is run: what changes speed, memory and repeatability, and not what is segmented."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

import torch

from medseg.errors import OptionError
from medseg.plugin import Precision

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Settings of the engine, recorded with each result.

    Args:
        backend: a backend's name, or ``auto`` for the fastest that agrees with torch on a window.
        precision: that the network computes in. What is lower than float32 is taken only while the labels
            of some windows of the first volume agree with those of float32, and refused otherwise.
        least_dice: that each label of these windows must reach.
        mirror: average over all flips of each window along the axes that the model was trained with:
            up to eight times the work in 3-D. None: as the model's contract says.
        body_mask: take windows that hold nothing of the body for background, without computing them.
        deterministic: the same bytes on the same machine, run after run, where a GPU would not.
        probabilities: also keep the probability of each label, and their entropy, on the disk.
        attention: also keep the maps of the network's attention gates, if it has any: a second pass.
        max_ram: bytes that the process may use: large arrays go to the disk until the run is predicted to
            need no more, and one that cannot is refused.
        max_vram: bytes that may be used of the GPU's memory, likewise; what is free, if None.
    """

    backend: str = "eager"
    precision: Precision = "float32"
    least_dice: float = 0.995
    mirror: bool | None = None
    body_mask: bool = False
    deterministic: bool = False
    probabilities: bool = False
    attention: bool = False
    max_ram: int | None = None
    max_vram: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise OptionError(f"precision is {self.precision!r}; wanted {', '.join(PRECISIONS)}")
        if not 0 < self.least_dice <= 1:
            raise OptionError(f"the least Dice is {self.least_dice}; wanted above 0, and 1 at the most")


@contextlib.contextmanager
def arithmetic(execution: Execution) -> Iterator[None]:
    """While the block runs, torch computes as an execution says.

    float32 is float32: cuDNN would round what goes into a convolution to 10 bits (TF32). Where the
    same bits are wanted each time, only algorithms that give them are used: on the CPU they do so anyway,
    with the same number of threads; on CUDA, cuDNN would time its algorithms and pick another one
    another day.

    These are settings of the process: of runs in several threads the last one puts them back.
    """
    with _FLOAT32.held(), _REPEATABLE.held() if execution.deterministic else contextlib.nullcontext():
        yield


class _Setting:
    """A setting of the process that several threads want at once.

    Args:
        change: makes it, and returns what puts back what was before.
    """

    def __init__(self, change: Callable[[], Callable[[], None]]) -> None:
        self._change = change
        self._put_back: Callable[[], None] | None = None
        self._count = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Made by the first that wants it, put back by the last."""
        with self._lock:
            if self._put_back is None:
                self._put_back = self._change()
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    self._put_back()
                    self._put_back = None


def _exact() -> Callable[[], None]:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32

    def put_back() -> None:
        cudnn.allow_tf32 = before

    cudnn.allow_tf32 = False
    return put_back


def _repeatable() -> Callable[[], None]:
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark

    def put_back() -> None:
        torch.use_deterministic_algorithms(mode=before[0])
        cudnn.benchmark = before[1]

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without, cuBLAS is refused by the next line
    torch.use_deterministic_algorithms(mode=True)  # imports torch's compiler, for a second
    cudnn.benchmark = False
    return put_back


_FLOAT32, _REPEATABLE = _Setting(_exact), _Setting(_repeatable)

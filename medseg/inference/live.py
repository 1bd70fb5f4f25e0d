"""The bytes that a network holds while it runs once: counted without running it, or seen while it runs.

Counting runs it on torch's ``meta`` device, where tensors have sizes but no memory: the tensors that
live at the same time are added up, with what CPU kernels take besides. Other backends are watched.
"""

import copy
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OWN_LAYOUT = ("convolution", "conv")  # oneDNN copies what goes in and out of these to a layout of its own
_LOOKS_EVERY = 0.005  # seconds between two looks at what the process holds

Result = TypeVar("Result")


def live_bytes(network: nn.Module, window: Sequence[int]) -> int:
    """Bytes of the tensors that live at once while a network runs on a window (1,C,*S).

    A network that does not run on the meta device, because it looks at values, is taken for one that
    holds 64 maps of the window's size.
    """
    unreal = copy.deepcopy(network).to("meta")
    live = _Live()
    try:
        with torch.inference_mode(), live:
            unreal(torch.empty(*window, device="meta"))
    except (RuntimeError, NotImplementedError):
        return 64 * 4 * int(np.prod(window[2:]))
    return live.peak


def watched(call: Callable[[], Result]) -> tuple[Result, int]:
    """What a call returns, and how many bytes more the process held at its peak than before; 0 if unknown."""
    before = most = resident_bytes()
    ended = threading.Event()

    def look() -> None:
        nonlocal most
        while not ended.wait(_LOOKS_EVERY):
            most = max(most, resident_bytes())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        result = call()
    finally:
        most = max(most, resident_bytes())
        ended.set()
        watcher.join()
    return result, most - before


def free_bytes() -> int | None:
    """What this machine could give a process now without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kilobytes) * 1024 if kilobytes else None


def resident_bytes() -> int:
    """What this process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has untyped methods
    """Follows every tensor that an operation makes, until nothing refers to its memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.peak = 0
        self._sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],  # torch's signature
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        for tensor in made:
            storage = tensor.untyped_storage()
            self._sizes[StorageWeakRef(storage)] = storage.nbytes()  # type: ignore[no-untyped-call]  # torch's
        gone = [ref for ref in self._sizes if ref.expired()]  # type: ignore[no-untyped-call]  # torch's
        for ref in gone:
            del self._sizes[ref]
        besides = 0
        if any(name in str(func) for name in _OWN_LAYOUT):
            given = [t for t in tree_leaves(args) if isinstance(t, Tensor)][:1]
            besides = sum(t.untyped_storage().nbytes() for t in (*given, *made))
        self.peak = max(self.peak, sum(self._sizes.values()) + besides)
        return result

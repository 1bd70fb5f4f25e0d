"""How much is done at once: the part of the engine's memory that can be chosen, and what is given up first.

When memory runs out, the next smaller choice goes on with the same window; what was computed stays.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

# torch has no class of its own for what fails on the CPU, in a library of CUDA, or in pinned memory.
_RAN_OUT = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)

Place = Literal["device", "host", "disk"]
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a run takes of the memory that is there.

    Args:
        batch: windows that the network sees at once.
        stitch: where the rows that are not finished are added up: with the network, in the memory of
            the CPU, or in a mapped file.
        image: where the image is while its windows go to the network.
        arrays: whether the image and the labels are held in memory or in mapped files.
    """

    batch: int = 1
    stitch: Place = "device"
    image: Literal["device", "host"] = "device"
    arrays: Literal["memory", "disk"] = "memory"

    def smaller(self, device: torch.device) -> "Room | None":
        """The next smaller one; None if this is the smallest."""
        if self.batch > 1:
            return replace(self, batch=self.batch // 2)
        if self.stitch == "device" and device.type != "cpu":
            return replace(self, stitch="host")
        if self.stitch != "disk":
            return replace(self, stitch="disk")
        return None


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _RAN_OUT)

"""Where a result came from: enough to make it again, and nothing of the patient.

No file name, path, header text or date of the study goes in; the input is named by a hash of its
voxels and affine.
"""

import hashlib
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

import medseg
from medseg.registry import Registry
from medseg.storage import contiguous
from medseg.volume import Volume

_HASHED_VOXELS = 1 << 22  # hashed at once
_MEASURED = (
    "seconds",
    "backend_trials",
    "peak_memory_bytes",
    "peak_vram_bytes",
    "predicted_memory_bytes",
)


def without_measured(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says that is the same each time."""
    return {name: value for name, value in provenance.items() if name not in _MEASURED}


def measured_in(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of this time, and for a reader the device, and what was not computed."""
    return {name: provenance.get(name) for name in (*_MEASURED, "device", "windows_without_body")}


class Stopwatch:
    """Wall seconds of each stage, in the order in which they first ran."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a ``with`` block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def volume_sha256(volume: Volume) -> str:
    """sha256 over type, shape, voxels (little-endian, k fastest) and affine of a volume."""
    kind = volume.array.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"{kind.str} {volume.shape}".encode())
    step = max(1, _HASHED_VOXELS // volume.array[0].size)
    for start in range(0, volume.shape[0], step):  # never a second copy of the whole
        digest.update(contiguous(volume.array[start : start + step], kind).data)
    digest.update(np.ascontiguousarray(volume.affine, dtype="<f8").data)
    return digest.hexdigest()


def describe_input(volume: Volume) -> dict[str, Any]:
    """An input's hash, grid and its reader's notes."""
    return {
        "sha256": volume_sha256(volume),
        "shape": list(volume.shape),
        "spacing_mm": [round(mm, 6) for mm in volume.spacing_mm],
        "orientation": volume.orientation,
        "notes": list(volume.notes),
    }


def describe_environment(registry: Registry, device: torch.device) -> dict[str, Any]:
    """Versions of the core, the plugins and torch, and the device."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "medseg": medseg.__version__,
        "plugins": registry.versions(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
    }


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process so far; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def spell_seconds(seconds: dict[str, float]) -> dict[str, float]:
    """Milliseconds are enough for people."""
    return {stage: round(value, 3) for stage, value in seconds.items()}

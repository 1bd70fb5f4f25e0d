"""Checkpoints of a training: whole or not there, and read without running what is in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from medseg.atomic import write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, written in one step and loaded as tensors and plain values alone."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002  # Lightning's signature
        """Write a checkpoint; a kill leaves the one before."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda part: torch.save(checkpoint, part))

    def load_checkpoint(
        self,
        path: Any,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,  # noqa: ARG002, FBT001  # Lightning's signature; it is always so here
    ) -> dict[str, Any]:
        """Read a checkpoint; nothing in it is run."""
        loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return loaded


def steps_done(path: Path) -> int:
    """Steps that a checkpoint has behind it; 0 if there is none."""
    return int(torch.load(path, map_location="cpu", weights_only=True)["global_step"]) if path.exists() else 0

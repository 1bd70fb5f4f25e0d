"""Where a training runs: on one device, or shared by several processes with one each."""

import hashlib
import json
import os
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from medseg.errors import OptionError
from medseg.training.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a training runs; nothing here changes what one device learns.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        index: number of the GPU, where a certain one is wanted.
        devices, nodes: how many GPUs in each of how many computers.
        workers: processes that make patches; 0 makes them in the training process.
    """

    device: str = "auto"
    index: int | None = None
    devices: int = 1
    nodes: int = 1
    workers: int = 1

    def __post_init__(self) -> None:
        if self.index is not None and self.world > 1:
            raise OptionError(
                f"GPU {self.index} was asked for, and {self.world} devices; wanted one of the two. "
                "Which GPUs a process sees is what CUDA_VISIBLE_DEVICES says"
            )

    @property
    def world(self) -> int:
        """How many devices share each step's patches."""
        return self.devices * self.nodes

    @property
    def on_gpu(self) -> bool:
        """Whether these are GPUs."""
        return self.device != "cpu" and torch.cuda.is_available()

    @property
    def place(self) -> str:
        """Where this process computes: ``cpu`` or ``cuda:N``; each of several has the GPU of its number."""
        if not self.on_gpu:
            return "cpu"
        return f"cuda:{local_rank() if self.index is None else self.index}"


def local_rank() -> int:
    """Which of this computer's processes of one training this is; 0 also where it is the only one."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def has_leader() -> bool:
    """Whether this computer's first process started this one, after it had written the plan.

    Those of torchrun start at the same time, and each makes a plan, which must then be the same.
    """
    return local_rank() > 0 and "TORCHELASTIC_RUN_ID" not in os.environ


class SamePlan(Callback):
    """Refuses to begin where computers of one training made different plans: their weights would not fit.

    Each computer plans by its own free memory; processes on one computer are given one plan.
    """

    def __init__(self, plan: Plan) -> None:
        text = json.dumps(plan.as_json(), sort_keys=True)
        self._number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare numbers that plans have."""
        if trainer.world_size < 2:
            return
        own = torch.tensor([self._number], dtype=torch.int64, device=pl_module.device)
        numbers = trainer.strategy.all_gather(own).flatten()
        if bool((numbers != own).any()):
            raise OptionError(
                "the computers of this training made different plans, each by the memory that was free "
                "there: give --patch, --batch and the network's options, as the first one shows them, on each"
            )

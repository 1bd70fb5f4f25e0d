"""The network, its loss, its optimiser and its scores, as Lightning wants them."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from medseg.builtin.losses.sums import LossFunction
from medseg.segmenter import Segmenter
from medseg.training.plan import Plan
from medseg.training.stopping import STEPS, wait_anew
from medseg.training.validation import MEAN, Validation

Batch = tuple[Tensor, Tensor]
"""Images (B,C,*S) and classes (B,*S)."""


class Learner(pl.LightningModule):
    """One training step, one validated case, and how fast it learns.

    A further way of learning (a teacher's predictions on images without labels, a discriminator) is a
    further subclass: the data, the plan, checkpoints and reports do not depend on what a step does.

    Args:
        network: what learns.
        loss: of an ``Output`` and classes (B,*S).
        plan: learning rate and the way it falls.
        validation: the cases that are scored, or None.
    """

    def __init__(
        self, network: Segmenter, loss: LossFunction, plan: Plan, validation: Validation | None = None
    ) -> None:
        super().__init__()
        self.network, self._loss, self._plan, self._validation = network, loss, plan, validation

    def on_train_batch_start(self, *_: Any) -> None:
        """Dropout, too, depends on the step alone, so that a training that goes on repeats it."""
        torch.manual_seed((self._plan.seed * 1_000_003 + self.global_step) % 2**63)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of one batch."""
        images, classes = batch
        loss = self._loss(self.network(images, self._plan.spacing_mm), classes)
        self.log("loss", loss, batch_size=len(images))
        return loss

    def on_train_epoch_start(self) -> None:
        """Forget the scores of the validation before: this epoch may have none, or none of a label."""
        known = self.trainer.callback_metrics
        for name in [name for name in known if name.startswith(MEAN)]:
            del known[name]

    def validation_step(self, number: int, _: int) -> None:
        """Segment one whole case, as a user would, and log the Dice of each label that has one."""
        assert self._validation is not None  # there is a loader of cases only with it
        for name, dice in self._validation.score(
            number, self.network, self.device, step=self.global_step
        ).items():
            # Not gathered: every process scores every case, and would wait for a score that another lacks.
            self.log(name, dice, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say how long the plan was: a training that stopped early goes on if it is longer now."""
        checkpoint[STEPS] = self._plan.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning calls this before its callbacks read their states."""
        wait_anew(checkpoint, self._plan)

    def configure_optimizers(self) -> Any:
        """AdamW, and its learning rate by step."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self._plan.learning_rate, weight_decay=self._plan.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, self._plan))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_at(step: int, plan: Plan) -> float:
    """The learning rate at a step, as a share of its height."""
    rising = min(1.0, (step + 1) / max(plan.warmup, 1))
    done = min(step / plan.steps, 1.0)
    falling = {"poly": (1 - done) ** 0.9, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "constant": 1.0}
    return float(rising * falling[plan.schedule])

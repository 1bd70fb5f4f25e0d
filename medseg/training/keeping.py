"""The model of a run: written whenever its weights are better than those before."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from medseg.model import Model
from medseg.model_folder import write_model

PREFIX = "network."


class KeepModel(Callback):
    """Writes the run's model folder with each checkpoint, unless an earlier one scored better.

    It stands behind the moving average among the callbacks: what a checkpoint calls its state is then the
    average.

    Args:
        model: the contract.
        folder: of the run.
        monitor: name of the score; None keeps the newest weights.
    """

    def __init__(self, model: Model, folder: Path, *, monitor: str | None) -> None:
        self._model, self._folder, self._monitor = model, folder, monitor
        self.best = -1.0
        self._better = monitor is None
        self._validated = False

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Have the last epoch validated whatever the rhythm: it may be the best, and the first validated."""
        if trainer.max_epochs == trainer.current_epoch + 1:
            trainer.check_val_every_n_epoch = 1

    def on_validation_end(self, *_: Any) -> None:
        """Note that this epoch's weights were scored."""
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Note whether this is the best so far: before the checkpoint is made, which holds that score."""
        if self._monitor is None:
            return
        score = trainer.callback_metrics.get(self._monitor)
        # Cases without anything to score say nothing against the newest weights.
        self._better = self._validated and (score is None or float(score) > self.best)
        self._validated = False
        self.best = max(self.best, -1.0 if score is None else float(score))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the model, if it is the best so far."""
        del pl_module
        if not (self._better and trainer.is_global_zero):
            return
        # A head's weights and its backbone's, or the backbone's alone: as load_model wants them.
        start = PREFIX if self._model.head else PREFIX + "backbone."
        tensors = {
            name.removeprefix(start): tensor.to(memory_format=torch.contiguous_format)
            for name, tensor in checkpoint["state_dict"].items()
            if name.startswith(start)
        }
        write_model(self._folder, self._model, tensors)

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, for a training that goes on."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.best = float(state_dict["best"])

"""What people see of a training: a line for each epoch, a table, curves."""

import csv
import io
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import Callback

from medseg.atomic import write_bytes_whole, write_whole
from medseg.errors import OptionError
from medseg.training.plan import HISTORY, Plan
from medseg.training.validation import MEAN

CURVES = "curves.png"
Line = dict[str, float]


class History(Callback):
    """Counts, tells and draws what each epoch was like.

    Args:
        plan: how many steps there will be.
        folder: of the run, for the table and the curves.
        say: is given a line of text for each epoch.
    """

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._plan, self._folder, self._say = plan, folder, say
        self.lines: list[Line] = []
        self._losses: list[float] = []
        self._begun = self._ready = time.perf_counter()
        self._waited = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Begin to count."""
        self._begun = self._ready = time.perf_counter()
        self._losses, self._waited = [], 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """The batch is there: what passed since the last step was waiting."""
        self._waited += time.perf_counter() - self._ready

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """The step is done.

        Raises:
            OptionError: the loss is no number any more, nor will be: the weights are none either.
        """
        del pl_module
        loss = float(outputs["loss"])
        # In float16 a step may overflow; its gradients are then left out, and the scale is halved.
        if not math.isfinite(loss) and self._plan.precision != "16-mixed":
            raise OptionError(
                f"the loss is {loss} at step {trainer.global_step}, wanted a number. Give a lower "
                "--learning-rate, or --precision 32, and another folder; the checkpoint before is as it was"
            )
        self._losses.append(loss)
        self._ready = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how it went; validation, which comes before this, is not counted."""
        del pl_module
        seconds = self._ready - self._begun
        rate = len(self._losses) / seconds
        scores = {
            name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(MEAN)
        }
        line = {
            "step": float(trainer.global_step),
            "loss": sum(self._losses) / len(self._losses),
            "patches_per_second": rate * self._plan.batch,
            "waiting": self._waited / seconds,
            "minutes_left": (self._plan.steps - trainer.global_step) / rate / 60,
            **scores,
        }
        self.lines.append(line)
        if trainer.is_global_zero:
            self._say(sentence(line, self._plan.steps))
            write_bytes_whole(self._folder / HISTORY, _table(self.lines))
            write_whole(self._folder / CURVES, lambda part: draw_curves(self.lines, part))

    def state_dict(self) -> dict[str, Any]:
        """All lines, for a training that goes on."""
        return {"lines": self.lines}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        self.lines = list(state_dict["lines"])


def sentence(line: Mapping[str, float], steps: int) -> str:
    """One epoch in words."""
    scores = ", ".join(f"{name} {value:.3f}" for name, value in line.items() if name.startswith(MEAN))
    return (
        f"step {line['step']:.0f} of {steps}: loss {line['loss']:.4f}, "
        f"{line['patches_per_second']:.2f} patches/s, {line['waiting']:.0%} waiting for data, "
        f"{line['minutes_left']:.0f} min left" + (f"; {scores}" if scores else "")
    )


def draw_curves(lines: list[Line], path: Path) -> None:
    """Loss and scores by step, as PNG."""
    figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, whatever the user has configured
    left, right = figure.subplots(1, 2)
    left.plot([line["step"] for line in lines], [line["loss"] for line in lines])
    left.set(xlabel="step", ylabel="loss")
    for name in sorted({key for line in lines for key in line if key.startswith(MEAN)}):
        scored = [line for line in lines if name in line]
        right.plot([line["step"] for line in scored], [line[name] for line in scored], label=name)
    right.set(xlabel="step", ylabel="Dice, whole cases", ylim=(0, 1))
    if right.lines:
        right.legend(loc="lower right", fontsize="small")
    figure.savefig(path, format="png")


def _table(lines: list[Line]) -> bytes:
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in line.items()} for line in lines)
    return text.getvalue().encode()

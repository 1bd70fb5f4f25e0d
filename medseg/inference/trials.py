"""Trials of backends, as a table for people and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from medseg.inference.backends import Trial, chosen


def trials_json(model: str, trials: Sequence[Trial], *, lower: bool) -> dict[str, Any]:
    """Each trial with its numbers, and which is chosen; a difference that is infinite is null."""
    rows = [asdict(trial) for trial in trials]
    for row in rows:
        if not math.isfinite(row["difference"]):
            row["difference"] = None
    return {"model": model, "trials": rows, "chosen": chosen(trials, lower=lower) or None}


def show_trials(trials: Sequence[Trial], *, lower: bool) -> None:
    """A table, and what follows from it; seconds are for one window, and for making ready."""
    table = Table(box=None, pad_edge=False)
    table.add_column("backend", no_wrap=True)
    for title in ("window", "to begin", "labels agree", "logits differ", "Dice", "left out because"):
        table.add_column(title, overflow="fold")
    for t in trials:
        numbers = (
            (
                f"{t.seconds:.3f} s",
                f"{t.begin_seconds:.1f} s",
                f"{t.labels:.4%}",
                f"{t.difference:.1e}",
                "" if t.dice is None else f"{t.dice:.4f}",
            )
            if t.seconds
            else ("",) * 5
        )
        table.add_row(t.backend, *numbers, Text(t.problem))
    console = Console(highlight=False)
    console.print(table)
    name = chosen(trials, lower=lower)
    console.print(
        Text(
            f"{name} is the fastest that agrees with {trials[0].backend}, and what --backend auto takes"
            if name
            else "none agrees: this precision would be refused"
        ),
        soft_wrap=True,
    )

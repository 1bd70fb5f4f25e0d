"""Cases for people and as JSON: one alone, and a cohort while it runs and at its end."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from medseg import progress as events
from medseg.batch.outcome import Outcome
from medseg.batch.supervisor import Supervisor


def show_case(outcome: Outcome) -> None:
    """A table of one result's labels, and what it took."""
    console = Console(highlight=False)
    result, measured = outcome.report.result, outcome.report.measured
    table = Table(title=Text(outcome.case.name, style="bold"), title_justify="left", box=None, pad_edge=False)
    table.add_column("label")
    table.add_column("volume", justify="right")
    table.add_column("voxels", justify="right")
    for label in result["labels"]:
        table.add_row(Text(label["name"]), f"{label['ml']:,.1f} mL", f"{label['voxels']:,}")
    console.print(table)
    seconds = sum(measured["seconds"].values())
    console.print(Text(f"{seconds:.1f} s on {measured['device']}{_spell_memory(measured)}"))
    if measured["backend_trials"]:
        console.print(Text(measured["backend_trials"]), soft_wrap=True)
    if measured["windows_without_body"]:
        console.print(Text(f"windows without body, taken for background: {measured['windows_without_body']}"))
    for warning in result["warnings"]:
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
    for path in (outcome.case.target, *outcome.case.files[:-1]):
        console.print(Text(f"wrote {path}"), soft_wrap=True)


def _spell_memory(measured: Mapping[str, Any]) -> str:
    """``, peak memory 0.87 GB (predicted 0.93)``, and the GPU's; methods without a network predict none."""
    predicted = measured["predicted_memory_bytes"] or {}
    spelt = ""
    for name, peak, expected in (
        ("memory", measured["peak_memory_bytes"], predicted.get("peak")),
        ("VRAM", measured["peak_vram_bytes"], predicted.get("vram")),
    ):
        if peak:
            spelt += f", peak {name} {peak / 1e9:.2f} GB"
            spelt += f" (predicted {expected / 1e9:.2f})" if expected else ""
    return spelt


def cases_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All outcomes: with the record of those that are done, with the reason of the others."""
    return {"cases": [_case_json(outcome) for outcome in outcomes]}


def _case_json(outcome: Outcome) -> dict[str, Any]:
    described = dict(outcome.as_json())
    if outcome.status == "done":
        described["provenance"] = json.loads(outcome.case.files[0].read_text(encoding="utf-8"))
    return described


@contextmanager
def progress_bar(name: str) -> Iterator[events.OnProgress | None]:
    """A progress bar on standard error while the block runs; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    # No markup: a file may be called [red].nii.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, needs = bar.add_task(name), ""

        def update(event: events.Progress) -> None:
            nonlocal needs
            if event.memory_bytes:
                needs = f", needs {event.memory_bytes / 1e9:.2f} GB"
            bar.update(
                task, description=f"{name}: {event.stage}{needs}", completed=event.done, total=event.total
            )

        yield update


class CohortDisplay:
    """A cohort while it runs: on a terminal a table of the workers, elsewhere a line for each case.

    Args:
        total: cases.
        lines: where each case's line goes: standard output, or standard error beside a JSON document.
    """

    def __init__(self, total: int, *, lines: Callable[[str], None]) -> None:
        self._total = total
        self._line = lines
        self._console = Console(stderr=True, highlight=False)
        self._supervisor: Supervisor | None = None
        self._begun = time.monotonic()
        self._closed = 0
        # No markup: a file may be called [red].nii.
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("cases", total=total)

    @property
    def begun(self) -> bool:
        """Whether there is something to sum up: the work has begun."""
        return self._supervisor is not None and self._supervisor.begun

    def watch(self, supervisor: Supervisor) -> None:
        """Show this supervisor's workers from now on."""
        self._supervisor = supervisor

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table up to date while the block runs, if somebody watches."""
        if not sys.stderr.isatty():
            yield
            return
        with Live(get_renderable=self._table, console=self._console, refresh_per_second=4, transient=True):
            yield

    def say(self, line: str) -> None:
        """What a worker prints, or what people should know."""
        self._console.print(Text(line), soft_wrap=True)

    def show(self, outcome: Outcome) -> None:
        """One line for a case, more if it is refused or has warnings."""
        self._closed += 1
        self._bar.update(self._task, completed=self._closed)
        name = outcome.case.name
        if outcome.status != "done":
            self._console.print(Text(f"REFUSED {name}: {outcome.reason}"), soft_wrap=True)
            if outcome.traceback:
                self._console.print(Text(outcome.traceback.rstrip()), soft_wrap=True)
            return
        result, measured = outcome.report.result, outcome.report.measured
        labels = result.get("labels", [])
        sizes = ", ".join(f"{label['name']} {label['ml']:,.1f} mL" for label in labels[:3])
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        took = "kept" if outcome.kept else f"{sum(measured.get('seconds', {}).values()):.1f} s"
        self._line(f"{self._closed}/{self._total} {name}: {sizes}{more} ({took})")
        for warning in result.get("warnings", []):
            self.say(f"warning: {name}: {warning}")

    def summary(self) -> str:
        """What became of all cases, in a sentence."""
        assert self._supervisor is not None
        counts = self._supervisor.counts
        seconds = time.monotonic() - self._begun
        done = counts["done"]
        each = f", {seconds / done:.2f} s a case" if done else ""
        left = self._total - sum(counts.values())
        parts = [
            f"{done} done",
            *([f"{counts['kept']} kept from an earlier run"] if counts["kept"] else []),
            *([f"{counts['refused']} refused"] if counts["refused"] else []),
            *([f"{counts['failed']} failed"] if counts["failed"] else []),
            *([f"{left} not begun or not finished; the same command goes on from here"] if left else []),
        ]
        return f"{', '.join(parts)}, of {self._total} in {seconds:.1f} s{each}"

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for column in ("worker", "case", "stage", "", "s"):
            table.add_column(column)
        for number, member in sorted(self._supervisor.crew.items() if self._supervisor else ()):
            if not member.ready:
                table.add_row(str(number), "", "loads the model")
            for running in list(member.running.values()):
                stage, done, total = running.window
                table.add_row(
                    str(number),
                    Text(running.order.case.name),
                    running.stage,
                    f"{stage} {done}/{total}" if running.stage == "work" and total > 1 else "",
                    f"{running.seconds:.0f}",
                )
        return Group(table, self._bar)

"""An evaluation as tables in a terminal."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from medseg.evaluation.case import CaseResult
from medseg.evaluation.cohort import Refusal
from medseg.evaluation.statistics import Summary
from medseg.evaluation.study import OnCase, Study

_CASES_IN_FULL = 5  # up to so many cases, each is shown; of more, their summary


def show_study(study: Study, console: Console, *, worst: int = 5) -> None:
    """Print what was found: scores of a few cases, or their summary; comparisons; the worst cases."""
    cases = {(row.model, row.case) for row in study.scores}
    if not cases:
        return
    if len(cases) <= _CASES_IN_FULL:
        _show_scores(study, console)
    if len(cases) > 1:
        _show_summary(study.summaries, console, title="Over cases: mean [95 % confidence interval]")
    for subgroups in study.subgroups:
        _show_summary(subgroups.summaries, console, title=f"By {subgroups.attribute}")
    _show_comparisons(study, console)
    if len(cases) > _CASES_IN_FULL:
        _show_worst(study, console, worst)
    for row in study.metrics:
        text = f"{row.metric}{f' in {row.unit}' if row.unit else ''}"
        console.print(Text(f"{text}: {row.convention}" if row.convention else text, style="dim"))
    console.print(Text(f"empty masks: {study.settings.empty}", style="dim"))


def wide_console(*, to_stderr: bool) -> Console:
    """A console for these tables, which are not folded where no terminal limits their width."""
    console = Console(highlight=False, stderr=to_stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=to_stderr, width=200)


@contextmanager
def case_progress() -> Iterator[OnCase | None]:
    """A progress bar on standard error while cases are scored; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("cases")

        def update(done: int, total: int, result: CaseResult | Refusal) -> None:
            bar.update(task, description=f"scored {result.case}", completed=done, total=total)

        yield update


def spell(value: float) -> str:
    """Four digits that matter; a dash for what is no number."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def spell_p(p: float) -> str:
    """A p value as journals print it."""
    return "-" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _show_scores(study: Study, console: Console) -> None:
    metrics = list(dict.fromkeys(row.metric for row in study.scores))
    table = _table("Scores", ["model", "case", "label", *metrics, "truth mL", "predicted mL", ""], left=3)
    lines: dict[tuple[str, str, str], dict[str, float]] = {}
    about: dict[tuple[str, str, str], tuple[float, float, str]] = {}
    for row in study.scores:
        key = (row.model, row.case, row.name)
        lines.setdefault(key, {})[row.metric] = row.value
        about[key] = (row.truth_ml, row.predicted_ml, row.state)
    for key, values in lines.items():
        truth_ml, predicted_ml, state = about[key]
        cells = [spell(values[m]) if m in values else "" for m in metrics]
        cells += ["" if math.isnan(ml) else f"{ml:,.2f}" for ml in (truth_ml, predicted_ml)]
        table.add_row(*map(Text, key), *cells, Text("" if state == "compared" else state, style="yellow"))
    _print(table, console, hide_first=study.models == ("",))


def _show_summary(summaries: Iterable[Summary], console: Console, *, title: str) -> None:
    columns = ["model", "group", "label", "metric", "mean", "95 % CI", "median", "n"]
    table = _table(title, [*columns, "missed", "false alarm", "both empty"], left=4)
    rows = list(summaries)
    for s in rows:
        table.add_row(
            *map(Text, (s.model, s.group, s.name, s.metric + (f" ({s.unit})" if s.unit else ""))),
            spell(s.mean),
            "-" if math.isnan(s.ci_low) else f"[{spell(s.ci_low)}, {spell(s.ci_high)}]",
            spell(s.median),
            str(s.n),
            *(Text(str(n), style="yellow" if n else "") for n in (s.n_missed, s.n_false_alarm)),
            str(s.n_both_empty),
        )
    _print(
        table, console, hide_first=not any(s.model for s in rows), hide_second=not any(s.group for s in rows)
    )


def _show_comparisons(study: Study, console: Console) -> None:
    if not study.comparisons:
        return
    columns = [
        "metric",
        "label",
        "first",
        "second",
        "difference",
        "95 % CI",
        "won/alike/lost",
        "p",
        "p (Holm)",
    ]
    table = _table("Models on the same cases: first minus second", [*columns, "r", "n"], left=4)
    for c in study.comparisons:
        table.add_row(
            *map(Text, (c.metric, c.name, c.first, c.second)),
            spell(c.mean_difference),
            "-" if math.isnan(c.ci_low) else f"[{spell(c.ci_low)}, {spell(c.ci_high)}]",
            f"{c.wins}/{c.ties}/{c.losses}",
            spell_p(c.p),
            Text(spell_p(c.p_holm), style="bold" if c.p_holm < 0.05 else ""),
            spell(c.rank_biserial),
            str(c.n),
        )
    _print(table, console)


def _show_worst(study: Study, console: Console, count: int) -> None:
    table = _table("Worst first", ["metric", "value", "case", "model", "label", ""], left=1)
    for row in study.metrics:
        if row.higher_is_better is None:
            continue
        for score in study.worst(row.metric, count=count):
            state = "" if score.state == "compared" else score.state
            table.add_row(
                Text(score.metric),
                spell(score.value),
                *map(Text, (score.case, score.model, score.name)),
                Text(state, style="yellow"),
            )
    _print(table, console)


def _table(title: str, columns: Sequence[str], *, left: int) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    for n, column in enumerate(columns):
        table.add_column(
            Text(column), justify="left" if n < left else "right", overflow="fold", no_wrap=n >= left
        )
    return table


def _print(table: Table, console: Console, *, hide_first: bool = False, hide_second: bool = False) -> None:
    hidden = [n for n, hide in enumerate((hide_first, hide_second)) if hide]
    kept = [column for n, column in enumerate(table.columns) if n not in hidden]
    # A column knows its place, by which its width is worked out: those that stay go into a new table.
    shown = Table(title=table.title, title_justify="left", box=None, pad_edge=False)
    for column in kept:
        shown.add_column(
            column.header, justify=column.justify, overflow=column.overflow, no_wrap=column.no_wrap
        )
    for cells in zip(*(column.cells for column in kept), strict=True):
        shown.add_row(*cells)
    console.print(shown)
    console.print()

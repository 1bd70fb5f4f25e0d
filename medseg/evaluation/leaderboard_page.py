"""A leaderboard in a terminal, and as one HTML page that needs no other file."""

import math
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

import medseg
from medseg.evaluation.leaderboard import Entry, Leaderboard, picture_source
from medseg.evaluation.statistics import Summary
from medseg.evaluation.tables import spell, spell_p

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .4rem .8rem; border-bottom: 1px solid #ccd; text-align: left } img { max-width: 420px }
.faint { color: #667; font-size: .85rem }
"""


def show_board(board: Leaderboard, console: Console) -> None:
    """Print the board: a line for each model, the best first, and the tests between them."""
    table = Table(title=Text(f"{len(board.cases)} cases", style="bold"), title_justify="left", box=None)
    for column in ("", "model", *board.metrics, "time", "memory", "missed", "false alarm"):
        table.add_column(Text(column))
    for place, entry in enumerate(board.entries, start=1):
        first = entry.summaries[board.metrics[0]]
        table.add_row(
            str(place),
            Text(entry.model),
            *(_mean(entry.summaries[metric]) for metric in board.metrics),
            _time(entry),
            _memory(entry),
            str(first.n_missed),
            str(first.n_false_alarm),
        )
    console.print(table)
    for comparison in board.comparisons:
        if comparison.metric == board.metrics[0] and comparison.name == _of(board):
            console.print(
                Text(
                    f"{comparison.first} against {comparison.second}: {comparison.metric} "
                    f"{spell(comparison.mean_difference)}, p {spell_p(comparison.p_holm)} "
                    f"(Wilcoxon, Holm), n = {comparison.n}"
                )
            )
    for line in _remarks(board):
        console.print(Text(line, style="dim"), soft_wrap=True)


def make_board_page(board: Leaderboard) -> str:
    """The board with a picture of each model."""
    heads = "".join(
        f"<th>{escape(h)}</th>" for h in ("", "model", *board.metrics, "time", "memory", "a median case")
    )
    rows = "\n".join(_row(place, entry, board) for place, entry in enumerate(board.entries, start=1))
    remarks = "<br>".join(map(escape, [*_remarks(board), f"medseg {medseg.__version__}; for research only"]))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>medseg leaderboard</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>Leaderboard: {len(board.cases)} cases</h1>\n"
        f"<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>\n"
        f'<p class="faint">{remarks}</p></body></html>\n'
    )


def _row(place: int, entry: Entry, board: Leaderboard) -> str:
    picture = f'<img alt="" src="{picture_source(entry.picture)}">' if entry.picture else "no picture"
    cells = [str(place), escape(entry.model)]
    cells += [f"{_mean(s)}{_missing(s)}" for s in (entry.summaries[metric] for metric in board.metrics)]
    return (
        "<tr>"
        + "".join(f"<td>{cell}</td>" for cell in [*cells, _time(entry), _memory(entry), picture])
        + "</tr>"
    )


def _mean(summary: Summary) -> str:
    interval = "" if math.isnan(summary.ci_low) else f" [{spell(summary.ci_low)}, {spell(summary.ci_high)}]"
    return f"{spell(summary.mean)}{interval}"


def _missing(s: Summary) -> str:
    parts = ((s.n_missed, "missed"), (s.n_false_alarm, "false alarms"), (s.n_both_empty, "empty in both"))
    found = ", ".join(f"{n} {what}" for n, what in parts)
    return f'<br><span class="faint">n {s.n}; {found}</span>'


def _time(entry: Entry) -> str:
    return "unknown" if math.isnan(entry.seconds) else f"{entry.seconds:.1f} s"


def _memory(entry: Entry) -> str:
    return "unknown" if entry.peak_memory_bytes is None else f"{entry.peak_memory_bytes / 1e9:.2f} GB"


def _of(board: Leaderboard) -> str:
    return board.entries[0].summaries[board.metrics[0]].name


def _remarks(board: Leaderboard) -> list[str]:
    summaries = board.entries[0].summaries
    lines = [
        f"{metric}: {s.convention or 'no options'}; mean over cases of: {s.name}"
        for metric, s in summaries.items()
    ]
    lines.append("time: median of a case; memory: the largest peak; both from the records beside predictions")
    if board.left_out:
        lines.append(f"{len(board.left_out)} cases are left out, for not all runs have them")
    return lines + list(board.notes)

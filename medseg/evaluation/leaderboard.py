"""Runs against each other: accuracy, picture, time and memory.

A run is the folder that ``medseg evaluate -o`` wrote. Runs are only put side by side on the cases that all of
them have, and by the metrics that all of them have by one convention and one policy.
"""

import base64
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medseg.errors import OptionError
from medseg.evaluation.document import SCHEMA
from medseg.evaluation.files import DOCUMENT
from medseg.evaluation.paired import Comparison, compare_models
from medseg.evaluation.scores import Score, Scores
from medseg.evaluation.statistics import MEAN_OF_LABELS, Summary, summarise


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model on the board.

    Args:
        model: its name; that of the run's folder, where the run has a single model without a name.
        summaries: by metric: over the mean of its labels, or its only label, or the whole map.
        seconds: median time for a case, from the records beside the predictions; NaN where none says it.
        peak_memory_bytes: largest of its cases; None where no record says it.
        picture: PNG of a case of median accuracy; None if the run has none.
    """

    model: str
    summaries: Mapping[str, Summary]
    seconds: float
    peak_memory_bytes: int | None
    picture: bytes | None


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Models, the best first.

    Args:
        entries: the best first by the first metric.
        metrics: their names.
        cases: that all runs have.
        left_out: cases that some run lacks.
        comparisons: of each pair of models on these cases.
        notes: what could not be compared.
    """

    entries: tuple[Entry, ...]
    metrics: tuple[str, ...]
    cases: tuple[str, ...]
    left_out: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """An evaluation that was read back."""

    folder: Path
    document: Mapping[str, Any]
    names: Mapping[str, str]  # on the board, by name in the run

    def rows(self) -> list[Score]:
        """Its scores, under the names on the board."""
        fields = ("value", "raw", "predicted_ml", "truth_ml")
        return [
            Score(**{**row, **{f: _number(row[f]) for f in fields}, "model": self.names[row["model"]]})
            for row in self.document["scores"]
        ]


def rank(paths: Sequence[Path]) -> Leaderboard:
    """Put runs side by side.

    Args:
        paths: folders that ``medseg evaluate -o`` wrote.

    Raises:
        OptionError: no such folder, or runs that have no case or no metric in common, or other policies.
    """
    runs = _read_runs(paths)
    policies = {run.document["settings"]["empty"] for run in runs}
    if len(policies) > 1:
        raise OptionError(
            f"the runs follow different policies for empty masks: {', '.join(sorted(policies))}; "
            "evaluate them again with one --empty"
        )
    rows = [row for run in runs for row in run.rows()]
    models = list(dict.fromkeys(name for run in runs for name in run.names.values()))
    cases = {model: {row.case for row in rows if row.model == model} for model in models}
    shared = [
        case for case in dict.fromkeys(row.case for row in rows) if all(case in c for c in cases.values())
    ]
    if not shared:
        raise OptionError("the runs have no case in common: were they evaluated on the same data?")
    metrics, notes = _shared_metrics(runs, rows, models)
    kept = [row for row in rows if row.case in shared and row.metric in metrics]
    scores = Scores(rows=tuple(kept), empty=policies.pop())
    entries = [_entry(run, own, name, scores, metrics) for run in runs for own, name in run.names.items()]
    better = {row.metric: row.higher_is_better for row in kept}
    entries.sort(key=lambda e: _order(e.summaries[metrics[0]].mean, best_is_high=bool(better[metrics[0]])))
    return Leaderboard(
        entries=tuple(entries),
        metrics=metrics,
        cases=tuple(shared),
        left_out=tuple(sorted({row.case for row in rows} - set(shared))),
        comparisons=tuple(compare_models(scores)),
        notes=notes,
    )


def board_json(board: Leaderboard) -> dict[str, Any]:
    """The board for programs."""
    return {
        "metrics": list(board.metrics),
        "cases": len(board.cases),
        "left_out": list(board.left_out),
        "notes": list(board.notes),
        "entries": [
            {
                "model": entry.model,
                "metrics": {
                    name: {
                        "of": s.name,
                        "mean": _plain(s.mean),
                        "ci_low": _plain(s.ci_low),
                        "ci_high": _plain(s.ci_high),
                        "n": s.n,
                        "n_missed": s.n_missed,
                        "n_false_alarm": s.n_false_alarm,
                        "n_both_empty": s.n_both_empty,
                    }
                    for name, s in entry.summaries.items()
                },
                "median_seconds": _plain(entry.seconds),
                "peak_memory_bytes": entry.peak_memory_bytes,
            }
            for entry in board.entries
        ],
    }


def picture_source(picture: bytes) -> str:
    """A picture as the source of an ``img`` element."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _read_runs(paths: Sequence[Path]) -> list[_Run]:
    read = []
    for path in paths:
        folder = path if path.is_dir() else path.parent
        try:
            document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(
                f"{folder} holds no evaluation ({error}); wanted what medseg evaluate -o wrote"
            ) from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise OptionError(f"{folder / DOCUMENT} is no document of the schema {SCHEMA}")
        read.append((folder, document))
    # A model's own name where it is the only one of that name, else with its run's.
    plain = [model or folder.resolve().name for folder, document in read for model in document["models"]]
    runs = []
    for folder, document in read:
        here = folder.resolve().name
        names = {
            model: f"{here}/{model}" if model and plain.count(model) > 1 else model or here
            for model in document["models"]
        }
        runs.append(_Run(folder=folder, document=document, names=names))
    chosen = [name for run in runs for name in run.names.values()]
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if twice:
        raise OptionError(f"two runs are called {', '.join(twice)}; rename a folder")
    return runs


def _shared_metrics(
    runs: Sequence[_Run], rows: Sequence[Score], models: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Metrics that all runs have by one convention, and a note for each that they do not."""
    kept, notes = [], []
    for metric in dict.fromkeys(row.metric for row in rows if row.higher_is_better is not None):
        conventions = {row.convention for row in rows if row.metric == metric}
        having = {row.model for row in rows if row.metric == metric}
        if having != set(models):
            notes.append(f"{metric} was left out: not all runs have it")
        elif len(conventions) > 1:
            notes.append(f"{metric} was left out: its conventions differ: {'; '.join(sorted(conventions))}")
        else:
            kept.append(metric)
    if not kept:
        raise OptionError(f"the {len(runs)} runs have no metric in common: {'; '.join(notes)}")
    return tuple(kept), tuple(notes)


def _entry(run: _Run, own: str, name: str, scores: Scores, metrics: Sequence[str]) -> Entry:
    ours = replace(scores, rows=tuple(row for row in scores.rows if row.model == name))
    by_metric: dict[str, Summary] = {}
    for summary in summarise(ours):
        # The mean of labels comes last, and is what stands for all of them.
        if summary.metric in metrics and (summary.metric not in by_metric or summary.name == MEAN_OF_LABELS):
            by_metric[summary.metric] = summary
    cases = {row.case for row in ours}
    origins = [
        case["origin"]
        for case in run.document["cases"]
        if case["model"] == own and case["case"] in cases and "origin" in case
    ]
    memory = [origin["peak_memory_bytes"] for origin in origins if origin["peak_memory_bytes"] is not None]
    picture = run.document["pictures"].get(own)
    path = run.folder / picture if picture else None
    return Entry(
        model=name,
        summaries=by_metric,
        seconds=statistics.median([o["seconds"] for o in origins]) if origins else math.nan,
        peak_memory_bytes=max(memory) if memory else None,
        picture=path.read_bytes() if path and path.is_file() else None,
    )


def _order(mean: float, *, best_is_high: bool) -> tuple[bool, float]:
    return math.isnan(mean), -mean if best_is_high else mean


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _plain(value: float) -> float | str | None:
    return value if math.isfinite(value) else None if math.isnan(value) else "inf"

"""An evaluation as one HTML page that needs no other file and no network."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import medseg
from medseg.evaluation.gallery import PREDICTION, TRUTH, draw_typical, draw_worst
from medseg.evaluation.plots import plot_bland_altman, plot_distributions, plot_models, png, png_bytes
from medseg.evaluation.scores import Score
from medseg.evaluation.statistics import Summary
from medseg.evaluation.study import Study
from medseg.evaluation.tables import spell, spell_p

_MOST_PLOTS = 24  # labels with a plot of volumes; of more, the first
_MOST_ROWS = 2000  # of single scores; all are in scores.csv

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2330; --faint: #667; --line: #d8dce4; --paper: #fff; --warn: #b45309 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9f0; --faint: #9aa3b5; --line: #343b49; --paper: #14181f; --warn: #f0a44b }
  svg { filter: invert(0.9) hue-rotate(180deg) }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1320px; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.6rem } h2 { margin-top: 2.4rem; border-bottom: 1px solid var(--line); font-size: 1.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; font-size: .86rem }
.wide { overflow-x: auto }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line) }
th, td { white-space: nowrap } th { cursor: pointer } td.t, th.t { text-align: left }
.faint { color: var(--faint) } .warn { color: var(--warn); font-weight: 600 }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-end }
figure { margin: 0; max-width: 320px } figcaption { font-size: .8rem }
@media (max-width: 600px) { th, td { padding: .2rem .35rem } table { font-size: .8rem } }
svg { max-width: 100%; height: auto } img { border-radius: 6px; max-width: 100% }
"""

_SORT = """
for (const th of document.querySelectorAll('th')) th.onclick = () => {
  const table = th.closest('table'), n = th.cellIndex, up = th.dataset.up = th.dataset.up === '1' ? '0' : '1';
  const key = row => { const text = row.cells[n].dataset.v ?? row.cells[n].textContent;
    const number = Number(text); return text !== '' && !Number.isNaN(number) ? number : text };
  const compare = (a, b) => { const x = key(a), y = key(b);
    if (typeof x !== typeof y) return typeof x === 'number' ? -1 : 1;
    return (x < y ? -1 : x > y ? 1 : 0) * (up === '1' ? 1 : -1) };
  const body = table.tBodies[0]; body.append(...[...body.rows].sort(compare));
};
"""


def make_page(study: Study, *, images: Path | None = None) -> str:
    """The page.

    Args:
        study: what was found.
        images: what was segmented, by the names of the cases, to draw the worst cases on.
    """
    parts = [
        _head(study),
        _problems(study),
        _section("Summary", _summary_table(study.summaries)),
        _section("Distributions", *(_distribution(study, row.metric) for row in study.metrics)),
        _section("Models against each other", _comparison_table(study), _model_plots(study)),
        *(
            _section(
                f"By {subgroups.attribute}",
                _summary_table(subgroups.summaries),
                _kruskal(subgroups.p),
                _listed("Without a value", subgroups.unknown),
            )
            for subgroups in study.subgroups
        ),
        _section("Volumes: predicted against true", _volumes(study)),
        _section("Worst cases", _gallery(study, images), _worst_table(study)),
        _section("All scores", _score_table(study)),
    ]
    title = "medseg evaluation"
    body = "\n".join(filter(None, parts))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>Evaluation</h1>\n{body}\n<script>{_SORT}</script></body></html>\n"
    )


def typical_pictures(study: Study, *, images: Path | None = None) -> dict[str, bytes]:
    """PNG of a case of median accuracy of each model, by the first metric; of those that can be drawn."""
    scored = [row for row in study.metrics if row.higher_is_better is not None and row.label is not None]
    if not scored:
        return {}
    figures = {model: draw_typical(study, model, scored[0].metric, images=images) for model in study.models}
    return {model: png_bytes(figure) for model, figure in figures.items() if figure}


def _head(study: Study) -> str:
    cases = {row.case for row in study.scores}
    labels = {row.name for row in study.scores if row.label is not None}
    models = [model for model in study.models if model]
    facts = [
        f"{len(cases)} cases, {len(labels)} labels" + (f", models {', '.join(models)}" if models else ""),
        f"empty masks: {study.settings.empty}",
        *(f"{_named(row.metric, row.unit)}: {row.convention or 'no options'}" for row in study.metrics),
        f"medseg {medseg.__version__}; for research only",
    ]
    return '<p class="faint">' + "<br>".join(map(escape, facts)) + "</p>"


def _problems(study: Study) -> str:
    refused = [f"{r.model}: {r.case}: {r.reason}".removeprefix(": ") for r in study.refusals]
    parts = [_listed("Refused", refused, warn=True)]
    for model in study.models:
        of = f" of {model}" if model else ""
        parts.append(
            _listed(f"Predictions{of} without a truth", study.unmatched_predictions.get(model, ()), warn=True)
        )
        parts.append(
            _listed(f"Truths without a prediction{of}", study.unmatched_truths.get(model, ()), warn=True)
        )
    notes = [f"{case}: {note}" for case, note in study.scores.notes.items()]
    return "".join(parts) + _listed("Notes", notes)


def _summary_table(summaries: Sequence[Summary]) -> str:
    heads = ["model", "group", "label", "metric", "mean", "95 % CI", "n", "missed", "false alarm"]
    heads += ["both empty", "median", "IQR", "SD", "5 %", "95 %", "min", "max"]
    rows = [
        [
            *(_text(s.model), _text(s.group), _text(s.name), _text(_named(s.metric, s.unit))),
            _number(s.mean),
            _text("-" if math.isnan(s.ci_low) else f"{spell(s.ci_low)} to {spell(s.ci_high)}"),
            _count(s.n),
            *(_count(n, warn=True) for n in (s.n_missed, s.n_false_alarm)),
            _count(s.n_both_empty),
            _number(s.median),
            _text(f"{spell(s.p25)} to {spell(s.p75)}"),
            *map(_number, (s.sd, s.p5, s.p95, s.minimum, s.maximum)),
        ]
        for s in summaries
    ]
    return _table(heads, rows)


def _distribution(study: Study, metric: str) -> str:
    left_out = sum(1 for r in study.scores if r.metric == metric and not math.isfinite(r.value))
    note = f'<p class="faint">{left_out} values are not finite and not drawn.</p>' if left_out else ""
    plot = plot_distributions(study, metric)
    return f"{plot}{note}" if plot else ""


def _comparison_table(study: Study) -> str:
    heads = ["metric", "label", "first", "second", "mean difference", "95 % CI", "median", "won/alike/lost"]
    heads += ["p", "p (Holm)", "rank-biserial r", "d_z", "n"]
    rows = [
        [
            *(_text(_named(c.metric, c.unit)), _text(c.name), _text(c.first), _text(c.second)),
            _number(c.mean_difference),
            _text("-" if math.isnan(c.ci_low) else f"{spell(c.ci_low)} to {spell(c.ci_high)}"),
            _number(c.median_difference),
            _text(f"{c.wins}/{c.ties}/{c.losses}"),
            *(f'<td data-v="{p}">{spell_p(p)}</td>' for p in (c.p, c.p_holm)),
            *map(_number, (c.rank_biserial, c.cohen_dz)),
            _count(c.n),
        ]
        for c in study.comparisons
    ]
    note = (
        '<p class="faint">First minus second, on the cases that both have a value for: Wilcoxon signed-rank '
        "test, p corrected by Holm over all tests of a metric; r and d_z above 0 favour the first.</p>"
    )
    return note + _table(heads, rows) if rows else ""


def _model_plots(study: Study) -> str:
    plots = [
        plot_models(study, row.metric, first, second)
        for row in study.metrics
        if row.higher_is_better is not None
        for first, second in itertools.combinations(study.models, 2)
    ]
    return _row(plots)


def _kruskal(p: Mapping[tuple[str, str, str], float]) -> str:
    rows = [
        [_text(m), _text(name), _text(metric), _text(spell_p(value))]
        for (m, metric, name), value in p.items()
    ]
    return _table(["model", "label", "metric", "Kruskal-Wallis p, uncorrected"], rows)


def _volumes(study: Study) -> str:
    names = list(dict.fromkeys(row.name for row in study.scores if row.label is not None))
    note = (
        f'<p class="faint">The first {_MOST_PLOTS} of {len(names)} labels.</p>'
        if len(names) > _MOST_PLOTS
        else ""
    )
    lines = '<p class="faint">Lines: mean difference, and 1.96 standard deviations on either side.</p>'
    return lines + note + _row(plot_bland_altman(study, name) for name in names[:_MOST_PLOTS])


def _gallery(study: Study, images: Path | None) -> str:
    scored = [row for row in study.metrics if row.higher_is_better is not None and row.label is not None]
    if not scored:
        return ""
    figures = []
    for drawing in draw_worst(study, scored[0].metric, images=images):
        s = drawing.score
        state = "" if s.state == "compared" else f' <span class="warn">{s.state}</span>'
        where = escape(" / ".join(filter(None, (s.model, s.case, s.name))))
        caption = f"{where}: {escape(_named(s.metric, s.unit))} {spell(s.value)}{state}"
        picture = png(drawing.figure) if drawing.figure else f'<p class="warn">{escape(drawing.problem)}</p>'
        figures.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    legend = (
        f'<p>The axial slice with the most wrong voxels: <b style="color:{TRUTH}">truth</b>, '
        f'<b style="color:{PREDICTION}">prediction</b>; the patient\'s right is on the left.</p>'
    )
    return legend + f'<div class="row">{"".join(figures)}</div>'


def _worst_table(study: Study) -> str:
    rows = [
        _score_row(score)
        for row in study.metrics
        if row.higher_is_better is not None
        for score in study.worst(row.metric, count=10)
    ]
    return _table(_SCORE_HEADS, rows)


_SCORE_HEADS = [
    "model",
    "case",
    "label",
    "metric",
    "value",
    "state",
    "TP",
    "FP",
    "FN",
    "truth mL",
    "predicted mL",
]


def _score_table(study: Study) -> str:
    rows = [_score_row(score) for score in itertools.islice(study.scores, _MOST_ROWS)]
    more = len(study.scores) - len(rows)
    note = f'<p class="faint">and {more} more, which are in scores.csv</p>' if more else ""
    return "<details><summary>Show</summary>" + _table(_SCORE_HEADS, rows) + note + "</details>"


def _score_row(s: Score) -> list[str]:
    return [
        *(_text(s.model), _text(s.case), _text(s.name), _text(_named(s.metric, s.unit))),
        _number(s.value),
        _text("" if s.state == "compared" else s.state, warn=True),
        *("<td></td>" if n is None else _count(n) for n in (s.tp, s.fp, s.fn)),
        *map(_number, (s.truth_ml, s.predicted_ml)),
    ]


def _section(title: str, *parts: str) -> str:
    body = "\n".join(filter(None, parts))
    return f"<h2>{escape(title)}</h2>\n{body}" if body else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns that are empty throughout."""
    if not rows:
        return ""
    shown = [n for n in range(len(heads)) if any(not row[n].endswith("></td>") for row in rows)]
    # A head stands over its cells: text on the left, numbers on the right.
    sides = {n: ' class="t"' if rows[0][n].startswith('<td class="t') else "" for n in shown}
    head = "".join(f"<th{sides[n]}>{escape(heads[n])}</th>" for n in shown)
    body = "".join("<tr>" + "".join(row[n] for n in shown) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _text(text: str, *, warn: bool = False) -> str:
    return f'<td class="t{" warn" if warn else ""}">{escape(text)}</td>'


def _number(value: float) -> str:
    exact = "" if math.isnan(value) else "Infinity" if math.isinf(value) else f"{value:.10g}"
    return f'<td data-v="{exact}">{spell(value)}</td>'


def _count(n: int, *, warn: bool = False) -> str:
    return f'<td class="warn">{n}</td>' if warn and n else f"<td>{n}</td>"


def _listed(title: str, items: Iterable[str], *, warn: bool = False) -> str:
    found = list(items)
    if not found:
        return ""
    shown = "".join(f"<li>{escape(item)}</li>" for item in found)
    return f'<p class="{"warn" if warn else "faint"}">{escape(title)}: {len(found)}</p><ul>{shown}</ul>'


def _row(parts: Iterable[str]) -> str:
    found = [f"<div>{part}</div>" for part in parts if part]
    return f'<div class="row">{"".join(found)}</div>' if found else ""


def _named(metric: str, unit: str) -> str:
    return f"{metric} ({unit})" if unit else metric

"""The plots of a report, as SVG and PNG inside the page."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from medseg.evaluation.scores import Score
from medseg.evaluation.study import Study

# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MOST_LABELS = 24  # in one plot; of more, those with the worst medians


def plot_distributions(study: Study, metric: str) -> str:
    """Values of a metric over cases: a box and every case, for each label and model."""
    rows = [r for r in study.scores if r.metric == metric and math.isfinite(r.value)]
    if not rows:
        return ""
    names = _labels_to_show(rows)
    models = [model for model in study.models if any(r.model == model for r in rows)]
    figure = Figure(figsize=(max(5.0, 1.2 + 0.55 * len(names) * max(1, len(models) * 0.7)), 3.4))
    axes = figure.add_subplot()
    width = 0.8 / len(models)
    scatter = np.random.default_rng(0)
    for m, model in enumerate(models):
        for n, name in enumerate(names):
            values = np.array([r.value for r in rows if r.name == name and r.model == model])
            if not len(values):
                continue
            place = n + (m - (len(models) - 1) / 2) * width
            axes.boxplot(
                values,
                positions=[place],
                widths=width * 0.75,
                showfliers=False,
                medianprops={"color": COLOURS[m % len(COLOURS)], "linewidth": 2},
                boxprops={"color": "#777"},
                whiskerprops={"color": "#777"},
                capprops={"color": "#777"},
            )
            spread = place + scatter.uniform(-0.25, 0.25, len(values)) * width
            axes.plot(
                spread,
                values,
                "o",
                markersize=3.5,
                alpha=0.6,
                color=COLOURS[m % len(COLOURS)],
                markeredgewidth=0,
                rasterized=len(values) > 300,
                label=model if n == 0 else None,
            )
    axes.set_xticks(
        range(len(names)), names, rotation=0 if len(names) < 7 else 45, ha="center", parse_math=False
    )
    axes.set_ylabel(_title(rows[0]), parse_math=False)
    _finish(axes, legend=len(models) > 1)
    return _svg(figure)


def plot_bland_altman(study: Study, name: str) -> str:
    """Predicted minus true volume of a label against their mean, with bias and limits of agreement.

    Limits are the mean difference and 1.96 standard deviations on either side (Bland and Altman 1986).
    """
    found = {(r.model, r.case): r for r in study.scores if r.name == name and r.label is not None}
    rows = [r for r in found.values() if r.state != "both empty"]
    if not rows:
        return ""
    figure = Figure(figsize=(5.2, 3.4))
    axes = figure.add_subplot()
    for m, model in enumerate(study.models):
        ours = [r for r in rows if r.model == model]
        if not ours:
            continue
        colour = COLOURS[m % len(COLOURS)]
        means = np.array([(r.predicted_ml + r.truth_ml) / 2 for r in ours])
        differences = np.array([r.predicted_ml - r.truth_ml for r in ours])
        axes.plot(means, differences, "o", markersize=4, alpha=0.7, color=colour, label=model)
        bias = differences.mean()
        axes.axhline(bias, color=colour, linewidth=1.5)
        if len(ours) > 1:
            for limit in (-1.96, 1.96):
                axes.axhline(
                    bias + limit * differences.std(ddof=1), color=colour, linewidth=1, linestyle="--"
                )
    axes.axhline(0, color="#999", linewidth=0.8)
    axes.set_xlabel("mean of predicted and true volume (mL)")
    axes.set_ylabel("predicted - true (mL)")
    axes.set_title(name, fontsize=10, parse_math=False)
    _finish(axes, legend=len(study.models) > 1)
    return _svg(figure)


def plot_models(study: Study, metric: str, first: str, second: str) -> str:
    """A metric of one model against that of another, a point for each case and label."""
    by_model: dict[str, dict[tuple[str, str], Score]] = {first: {}, second: {}}
    for row in study.scores:
        if row.metric == metric and row.model in by_model and math.isfinite(row.value):
            by_model[row.model][row.case, row.name] = row
    shared = [key for key in by_model[first] if key in by_model[second]]
    if not shared:
        return ""
    figure = Figure(figsize=(3.8, 3.8))
    axes = figure.add_subplot()
    names = list(dict.fromkeys(name for _, name in shared))
    for n, name in enumerate(names):
        keys = [key for key in shared if key[1] == name]
        axes.plot(
            [by_model[second][key].value for key in keys],
            [by_model[first][key].value for key in keys],
            "o",
            markersize=4,
            alpha=0.7,
            color=COLOURS[n % len(COLOURS)],
            label=name if len(names) <= len(COLOURS) else None,
            rasterized=len(keys) > 300,
        )
    low, high = min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color="#999", linewidth=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel(second, parse_math=False)
    axes.set_ylabel(first, parse_math=False)
    axes.set_title(_title(by_model[first][shared[0]]), fontsize=10, parse_math=False)
    _finish(axes, legend=1 < len(names) <= len(COLOURS))
    return _svg(figure)


def png(figure: Figure) -> str:
    """An ``img`` element that holds a figure."""
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png_bytes(figure)).decode()}">'


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG."""
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _svg(figure: Figure) -> str:
    FigureCanvasSVG(figure)
    figure.set_layout_engine("tight")
    content = io.StringIO()
    # Text stays text, and the same evaluation gives the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "medseg"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = content.getvalue()
    return text[text.index("<svg") :]


def _labels_to_show(rows: Sequence[Score]) -> list[str]:
    names = list(dict.fromkeys(r.name for r in rows))
    if len(names) <= _MOST_LABELS:
        return names
    sign = 1 if rows[0].higher_is_better else -1
    medians = {name: sign * float(np.median([r.value for r in rows if r.name == name])) for name in names}
    return sorted(names, key=lambda name: medians[name])[:_MOST_LABELS]


def _title(row: Score) -> str:
    return f"{row.metric} ({row.unit})" if row.unit else row.metric


def _finish(axes: Axes, *, legend: bool) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if legend:
        axes.legend(fontsize=8, frameon=False)

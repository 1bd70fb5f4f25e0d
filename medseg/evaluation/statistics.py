"""Scores over cases: mean, spread, percentiles, a confidence interval, and how many were no numbers."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from medseg.evaluation.scores import Score, Scores, State

RESAMPLES, SEED, CONFIDENCE = 2000, 20_240_711, 0.95
MEAN_OF_LABELS = "mean of labels"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A metric of a label over cases.

    Args:
        model: whose; empty if there is only one.
        label: None for the whole map and for the mean of labels.
        name: of the label; ``mean of labels`` for the mean over the labels of each case.
        metric, convention, unit, higher_is_better: of the metric.
        group: which cases, such as ``sex = F``; empty for all.
        n: cases that enter the numbers below, all of them finite or infinite values.
        mean, sd: mean and standard deviation (of the sample); infinite as soon as one value is.
        median, p5, p25, p75, p95, minimum, maximum: of the values.
        ci_low, ci_high: 95 % confidence interval of the mean: bootstrap of the cases, bias-corrected and
            accelerated; NaN with fewer than two cases.
        n_missed: cases in which the prediction lacks a label that the truth has; of the mean of labels, the
            number of such labels in all cases, and likewise below.
        n_false_alarm: in which the truth lacks a label that the prediction has.
        n_both_empty: in which both do.
    """

    model: str
    label: int | None
    name: str
    metric: str
    convention: str
    unit: str
    higher_is_better: bool | None
    group: str
    n: int
    mean: float
    sd: float
    median: float
    p5: float
    p25: float
    p75: float
    p95: float
    minimum: float
    maximum: float
    ci_low: float
    ci_high: float
    n_missed: int
    n_false_alarm: int
    n_both_empty: int


def summarise(scores: Scores, *, group: str = "", keep: Callable[[str], bool] | None = None) -> list[Summary]:
    """A summary for each model, metric and label, and for the mean of labels where there are several.

    Args:
        scores: of all cases.
        group: a name for the cases that are kept.
        keep: tells by the name of a case whether it counts; all do, if None.
    """
    rows = [row for row in scores if keep is None or keep(row.case)]
    found: dict[tuple[str, str, int | None, str], list[Score]] = {}
    states: dict[tuple[str, str], list[State]] = {}
    for row in [*rows, *mean_of_labels(rows)]:
        found.setdefault((row.model, row.metric, row.label, row.name), []).append(row)
        if row.label is not None:
            states.setdefault((row.model, row.metric), []).append(row.state)
    # Beside the mean of labels stand the labels that are missing, whichever they are.
    return [
        _summary(cells, states[model, metric] if name == MEAN_OF_LABELS else [c.state for c in cells], group)
        for (model, metric, _, name), cells in found.items()
    ]


def mean_of_labels(rows: Iterable[Score]) -> list[Score]:
    """For each case the mean over its labels; those that do not count in a case are left out of it.

    Where a label's value is NaN for the whole of a case, that case has no mean. Metrics of one label and
    quantities have none either.
    """
    found: dict[tuple[str, str, str], list[Score]] = {}
    for row in rows:
        if row.label is not None and row.higher_is_better is not None:
            found.setdefault((row.model, row.metric, row.case), []).append(row)
    means = []
    for labels in found.values():
        if len(labels) < 2:
            continue
        counted = [row.value for row in labels if not math.isnan(row.value)]
        value = sum(counted) / len(counted) if counted else math.nan
        first = labels[0]
        means.append(
            Score(
                case=first.case,
                model=first.model,
                label=None,
                name=MEAN_OF_LABELS,
                metric=first.metric,
                convention=first.convention,
                unit=first.unit,
                higher_is_better=first.higher_is_better,
                value=value,
                raw=value,
                state="compared",
                tp=None,
                fp=None,
                fn=None,
                predicted_ml=math.nan,
                truth_ml=math.nan,
            )
        )
    return means


def confidence_interval(
    values: Sequence[float] | NDArray[np.float64],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float]:
    """Bootstrap interval of the mean, bias-corrected and accelerated (Efron 1987).

    The same cases are drawn for every metric, so that intervals of one table can be compared.

    Args:
        values: (N,) one for each case.
        confidence: of the interval.
        resamples: how often the cases are drawn anew.
        seed: of the draws.
    """
    sample = np.asarray(values, np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return math.nan, math.nan
    if np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    at_once = max(1, (1 << 22) // len(sample))  # draws, so that a cohort of thousands takes little memory
    for start in range(0, resamples, at_once):
        stop = min(start + at_once, resamples)
        means[start:stop] = sample[rng.integers(0, len(sample), (stop - start, len(sample)))].mean(axis=1)
    mean = sample.mean()
    below = ((means < mean).sum() + (means == mean).sum() / 2) / resamples
    bias = ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    # A mean without one of its values moves against that value: the jackknife, in closed form.
    pull = sample - mean
    acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    edges = ndtri([(1 - confidence) / 2, (1 + confidence) / 2]) + bias
    low, high = np.quantile(means, ndtr(bias + edges / (1 - acceleration * edges)))
    return float(low), float(high)


def _summary(cells: Sequence[Score], states: Sequence[State], group: str) -> Summary:
    first = cells[0]
    values = np.array([row.value for row in cells if not math.isnan(row.value)])
    finite = bool(np.isfinite(values).all())
    low, high = confidence_interval(values)
    sd = float(values.std(ddof=1)) if finite and len(values) > 1 else math.inf if not finite else math.nan
    return Summary(
        model=first.model,
        label=first.label,
        name=first.name,
        metric=first.metric,
        convention=first.convention,
        unit=first.unit,
        higher_is_better=first.higher_is_better,
        group=group,
        n=len(values),
        mean=float(values.mean()) if len(values) else math.nan,
        sd=sd,
        median=_percentile(values, 50),
        p5=_percentile(values, 5),
        p25=_percentile(values, 25),
        p75=_percentile(values, 75),
        p95=_percentile(values, 95),
        minimum=float(values.min()) if len(values) else math.nan,
        maximum=float(values.max()) if len(values) else math.nan,
        ci_low=low,
        ci_high=high,
        n_missed=states.count("missed"),
        n_false_alarm=states.count("false alarm"),
        n_both_empty=states.count("both empty"),
    )


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    """Linear interpolation between ranks, which stays defined beside infinite values."""
    if not len(values):
        return math.nan
    ordered = np.sort(values)
    rank = percent / 100 * (len(ordered) - 1)
    low, high = float(ordered[math.floor(rank)]), float(ordered[math.ceil(rank)])
    return low if low == high else low + (high - low) * (rank - math.floor(rank))

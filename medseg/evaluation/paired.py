"""Models against each other on the same cases."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medseg.evaluation.scores import Scores
from medseg.evaluation.statistics import confidence_interval, mean_of_labels


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models by one metric of one label, over the cases that both have a value for.

    Args:
        metric, unit: of the values.
        label, name: of what; ``mean of labels`` for the mean over the labels of each case.
        first, second: the two models.
        n: cases.
        mean_difference: first minus second.
        ci_low, ci_high: its 95 % bootstrap interval.
        median_difference: the median of the differences.
        wins, ties, losses: cases in which the first is better, alike, worse.
        p: two-sided Wilcoxon signed-rank test; cases that are alike are left out, and 1 if all are.
        p_holm: corrected for all tests of this metric (Holm 1979), over labels and pairs of models.
        rank_biserial: effect size from -1 to 1: sum of ranks in favour of the first minus those against it,
            over all ranks (Kerby 2014). Above 0 the first model is better.
        cohen_dz: mean over standard deviation of the differences, above 0 if the first is better.
    """

    metric: str
    unit: str
    label: int | None
    name: str
    first: str
    second: str
    n: int
    mean_difference: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    median_difference: float = math.nan
    wins: int = 0
    ties: int = 0
    losses: int = 0
    p: float = math.nan
    p_holm: float = math.nan
    rank_biserial: float = math.nan
    cohen_dz: float = math.nan


def compare_models(scores: Scores) -> list[Comparison]:
    """Every pair of models, by every metric that has a better way, for every label.

    Args:
        scores: of two models or more; with fewer there is nothing to compare.
    """
    models = list(dict.fromkeys(row.model for row in scores))
    values: dict[tuple[str, str, int | None, str, bool], dict[str, dict[str, float]]] = {}
    for row in [*scores, *mean_of_labels(scores)]:
        if row.higher_is_better is not None:
            key = (row.metric, row.unit, row.label, row.name, row.higher_is_better)
            values.setdefault(key, {}).setdefault(row.model, {})[row.case] = row.value
    found: dict[str, list[Comparison]] = {}
    for (metric, unit, label, name, higher_is_better), by_model in values.items():
        for first, second in itertools.combinations(models, 2):
            ours, theirs = by_model.get(first, {}), by_model.get(second, {})
            both = [(ours[case], theirs[case]) for case in ours if case in theirs]
            pairs = np.array([p for p in both if not any(map(math.isnan, p))]).reshape(-1, 2)
            found.setdefault(metric, []).append(
                _compare(
                    pairs,
                    sign=1 if higher_is_better else -1,
                    about=Comparison(
                        metric=metric,
                        unit=unit,
                        label=label,
                        name=name,
                        first=first,
                        second=second,
                        n=len(pairs),
                    ),
                )
            )
    return [comparison for family in found.values() for comparison in _correct(family)]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p values (Holm 1979); NaN ones are no tests and stay.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    tests = sorted((value, n) for n, value in enumerate(p) if not math.isnan(value))
    corrected, largest = list(p), 0.0
    for rank, (value, n) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * value))
        corrected[n] = largest
    return corrected


def _correct(family: list[Comparison]) -> list[Comparison]:
    corrected = holm([comparison.p for comparison in family])
    return [replace(c, p_holm=p) for c, p in zip(family, corrected, strict=True)]


def _compare(pairs: NDArray[np.float64], *, sign: int, about: Comparison) -> Comparison:
    """Fill in the numbers; ``sign`` is 1 where higher is better."""
    if not len(pairs):
        return about
    with np.errstate(invalid="ignore"):  # two infinite distances are alike; of opposite ones no mean is left
        difference = np.where(pairs[:, 0] == pairs[:, 1], 0.0, pairs[:, 0] - pairs[:, 1])
        # A mean over labels depends a little on their order: what rounding alone made is no difference.
        difference = difference.round(12)
        mean, median = float(difference.mean()), float(np.median(difference))
    better = sign * difference
    changed = better[better != 0]
    ranks = stats.rankdata(np.abs(changed))
    total = ranks.sum()
    low, high = confidence_interval(difference)
    varied = np.isfinite(difference).all() and len(np.unique(difference)) > 1
    sd = difference.std(ddof=1) if varied else math.nan
    return replace(
        about,
        mean_difference=mean,
        ci_low=low,
        ci_high=high,
        median_difference=median,
        wins=int((better > 0).sum()),
        ties=int((better == 0).sum()),
        losses=int((better < 0).sum()),
        p=float(stats.wilcoxon(changed).pvalue) if len(changed) else 1.0,
        rank_biserial=float((np.sign(changed) * ranks).sum() / total) if total else 0.0,
        cohen_dz=float(better.mean() / sd) if sd > 0 else math.nan,
    )

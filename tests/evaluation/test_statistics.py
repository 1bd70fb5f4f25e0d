"""Means, intervals and tests, against SciPy and by hand."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from medseg.evaluation.paired import compare_models, holm
from medseg.evaluation.scores import Score, Scores
from medseg.evaluation.statistics import confidence_interval, summarise


def scores_of(values, *, states=None, higher_is_better=True, label=1):
    """``{model: values}`` as a table, case by case."""
    rows = [
        Score(
            case=f"case{n}",
            model=model,
            label=label,
            name=str(label),
            metric="dice",
            convention="",
            unit="",
            higher_is_better=higher_is_better,
            value=value,
            raw=value,
            state=states[n] if states else "compared",
            tp=1,
            fp=1,
            fn=1,
            predicted_ml=1,
            truth_ml=1,
        )
        for model, found in values.items()
        for n, value in enumerate(found)
    ]
    return Scores(rows=tuple(rows), empty="exclude")


def test_a_summary_by_hand():
    (found,) = summarise(
        scores_of({"": [0.2, 0.4, math.nan, 0.9]}, states=["compared", "false alarm", "both empty", "missed"])
    )
    assert (found.n, found.mean, found.median) == (3, pytest.approx(0.5), pytest.approx(0.4))
    assert found.sd == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1))
    assert (found.minimum, found.maximum, found.p25) == (0.2, 0.9, pytest.approx(0.3))
    assert (found.n_missed, found.n_false_alarm, found.n_both_empty) == (1, 1, 1)


def test_nothing_has_no_mean():
    (found,) = summarise(scores_of({"": [math.nan, math.nan]}))
    assert found.n == 0
    assert all(math.isnan(v) for v in (found.mean, found.median, found.sd, found.p5, found.ci_low))


def test_an_infinite_value_makes_the_mean_infinite_and_leaves_the_median():
    (found,) = summarise(scores_of({"": [1.0, 2.0, math.inf]}))
    assert (found.mean, found.median, found.maximum) == (math.inf, 2, math.inf)
    assert math.isnan(found.ci_low)


def test_the_interval_is_scipy_s_bca():
    values = np.random.default_rng(1).beta(8, 2, 60)
    ours = confidence_interval(values, resamples=20000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20000, method="BCa", rng=0)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.002)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    samples = rng.normal(0, 1, (300, 40))
    covered = sum(low <= 0 <= high for low, high in (confidence_interval(s, resamples=500) for s in samples))
    assert 0.90 <= covered / 300 <= 0.98


def test_intervals_of_few_or_equal_values():
    assert all(map(math.isnan, confidence_interval([0.5])))
    assert confidence_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_long_tables_are_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(3).normal(size=50)
    low, high = confidence_interval(values)
    assert low < values.mean() < high
    assert confidence_interval(values) == (low, high)  # the same every time


def test_means_of_labels_are_within_cases():
    one, two = scores_of({"": [0.2, 0.4, math.nan]}), scores_of({"": [0.6, math.nan, math.nan]}, label=2)
    found = summarise(dataclasses.replace(one, rows=one.rows + two.rows))
    (mean,) = [s for s in found if s.name == "mean of labels"]
    assert (mean.n, mean.mean) == (2, pytest.approx((0.4 + 0.4) / 2))


def test_wilcoxon_is_scipy_s_and_the_effect_by_hand():
    rng = np.random.default_rng(4)
    a = rng.beta(8, 2, 25)
    b = a - rng.normal(0.02, 0.05, 25)
    (found,) = compare_models(scores_of({"a": a, "b": b}))
    assert found.p == pytest.approx(stats.wilcoxon(a, b).pvalue)
    difference = a - b
    ranks = stats.rankdata(np.abs(difference))
    assert found.rank_biserial == pytest.approx((np.sign(difference) * ranks).sum() / ranks.sum())
    assert found.cohen_dz == pytest.approx(difference.mean() / difference.std(ddof=1))
    assert found.mean_difference == pytest.approx(difference.mean())
    assert found.ci_low < found.mean_difference < found.ci_high


def test_where_lower_is_better_the_lower_model_wins():
    (found,) = compare_models(scores_of({"a": [1, 2, 3, 4], "b": [2, 3, 4, 6]}, higher_is_better=False))
    assert (found.wins, found.losses) == (4, 0)
    assert found.rank_biserial == 1
    assert found.cohen_dz > 0
    assert found.mean_difference == -1.25


def test_models_that_are_alike():
    (found,) = compare_models(scores_of({"a": [0.5, 0.6], "b": [0.5, 0.6]}))
    assert (found.p, found.p_holm, found.rank_biserial, found.ties) == (1, 1, 0, 2)


def test_what_rounding_alone_made_is_no_difference():
    # 0.1 + 0.2 and 0.3 differ by the last bit, as means over labels in another order do.
    (found,) = compare_models(scores_of({"a": [0.1 + 0.2, 0.8, 0.9], "b": [0.3, 0.8, 0.9]}))
    assert (found.p, found.rank_biserial, found.mean_difference) == (1, 0, 0)
    assert (found.wins, found.ties, found.losses) == (0, 3, 0)
    (found,) = compare_models(scores_of({"a": [0.1 + 0.2, 0.8, 0.9], "b": [0.3, 0.7, 0.9]}))
    assert (found.wins, found.ties, found.losses, found.rank_biserial) == (1, 2, 0, 1)
    (found,) = compare_models(scores_of({"a": [0.2, 0.3, 0.4], "b": [0.1, 0.2, 0.3]}))
    assert math.isnan(found.cohen_dz)  # all alike: there is no spread to measure the mean by


def test_infinite_distances_have_ranks():
    table = scores_of(
        {"a": [1, math.inf, 2, math.inf], "b": [2, math.inf, math.inf, 1]}, higher_is_better=False
    )
    (found,) = compare_models(table)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert 0 < found.p <= 1


def test_only_cases_that_both_have_a_value_for_are_compared():
    (found,) = compare_models(scores_of({"a": [1, 2, math.nan], "b": [2, math.nan, 3]}))
    assert found.n == 1
    (none,) = compare_models(scores_of({"a": [math.nan], "b": [1]}))
    assert none.n == 0
    assert math.isnan(none.p_holm)


def test_holm_by_hand_and_without_what_is_no_test():
    assert holm([0.01, math.nan, 0.04, 0.03, 0.5]) == pytest.approx(
        [0.04, math.nan, 0.09, 0.09, 0.5], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1, 1]


def test_three_models_are_compared_in_pairs_and_corrected_together():
    rng = np.random.default_rng(5)
    table = scores_of({m: rng.beta(8, 2, 20) + 0.05 * n for n, m in enumerate("abc")})
    found = compare_models(table)
    assert [(c.first, c.second) for c in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [c.p_holm for c in found] == holm([c.p for c in found])

"""Voxels of a label that are right, and wrong: ratios of TP, FP, FN and TN.

A ratio whose denominator is 0 is NaN: ``precision`` where nothing is predicted, ``recall`` where there is
nothing to find, and what compares two sides where both are empty.
"""

import math

from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair


class Dice(PairMetric):
    """2 TP / (2 TP + FP + FN) (Dice 1945). Hard on small structures, blind to where the errors are."""

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        return ratio(2 * c.tp, c.predicted + c.true)


class IntersectionOverUnion(PairMetric):
    """TP / (TP + FP + FN) (Jaccard 1912); Dice / (2 - Dice)."""

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        return ratio(c.tp, c.tp + c.fp + c.fn)


class Precision(PairMetric):
    """TP / (TP + FP): the part of the prediction that is right; positive predictive value."""

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        return ratio(c.tp, c.predicted)


class Recall(PairMetric):
    """TP / (TP + FN): the part of the truth that is found; sensitivity."""

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        return ratio(c.tp, c.true)


class F1(PairMetric):
    """Harmonic mean of precision and recall; of a binary mask it is the Dice.

    It is 0 where one side is empty.
    """

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        if not c.predicted or not c.true:
            return math.nan if c.predicted == c.true else 0.0
        precision, recall = c.tp / c.predicted, c.tp / c.true
        return 2 * precision * recall / (precision + recall) if c.tp else 0.0


class Specificity(PairMetric):
    """TN / (TN + FP): the part of all else that is left alone.

    It nears 1 as the image grows around the label, whatever is predicted.
    """

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        c = pair.counts(label)
        return ratio(c.tn, c.tn + c.fp)


def ratio(part: float, whole: float) -> float:
    """A quotient; NaN for something of nothing."""
    return part / whole if whole else math.nan

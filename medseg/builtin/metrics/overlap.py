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
        return _ratio(2 * c.tp, c.predicted + c.true)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan

"""What the core's metrics have in common: one pair's work is shared by all of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from medseg.comparison.pair import Pair
from medseg.volume import Volume


class PairMetric(ABC):
    """A metric that reads what it needs from a ``Pair``.

    Called with two label maps it is a metric like any other. Whoever asks for several makes one
    ``Pair`` and calls ``of``, so that counts and distances are worked out once.
    """

    def __call__(self, predicted: Volume, truth: Volume) -> Mapping[int, float]:
        """A value for each label of two label maps (I, J, K) on one grid.

        Raises:
            VolumeError: the grids differ, or one of the two is no label map.
        """
        return self.of(Pair(predicted, truth))

    def of(self, pair: Pair) -> Mapping[int, float]:
        """A value for each label that either map has."""
        return {label: self.of_label(pair, label) for label in pair.labels}

    @abstractmethod
    def of_label(self, pair: Pair, label: int) -> float:
        """The value of one label, which either map or both may lack; NaN where it is not defined."""


class MapMetric(PairMetric):
    """A metric of the two maps as a whole, which is the same whatever the label."""

    def of(self, pair: Pair) -> Mapping[int, float]:
        """The one value, under each label that either map has."""
        return dict.fromkeys(pair.labels, self.of_map(pair))

    def of_label(self, pair: Pair, label: int) -> float:
        """The one value."""
        del label
        return self.of_map(pair)

    @abstractmethod
    def of_map(self, pair: Pair) -> float:
        """The value; NaN where it is not defined."""

"""Metrics of the single pieces of a label, lesions say: how many are found, and how well.

A mask with its largest lesion right has a high Dice however many small ones it misses.
"""

import math
from dataclasses import dataclass
from typing import Literal

from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair
from medseg.comparison.pieces import Connectivity, Pieces


@dataclass(frozen=True, kw_only=True)
class Found:
    """How many pieces were found.

    Args:
        found: true pieces that are found.
        true: true pieces.
        right: predicted pieces that find one.
        predicted: predicted pieces.
    """

    found: int
    true: int
    right: int
    predicted: int

    @property
    def f1(self) -> float:
        """Harmonic mean of found / true and right / predicted; 0 if one side is empty, NaN if both are."""
        if not self.true or not self.predicted:
            return math.nan if self.true == self.predicted else 0.0
        recall, precision = self.found / self.true, self.right / self.predicted
        return 2 * recall * precision / (recall + precision) if recall and precision else 0.0


def count_found(pieces: Pieces, match: Literal["overlap", "iou"], iou: float) -> Found:
    """Count the pieces that find each other.

    Args:
        pieces: of a label.
        match: ``overlap``: any common voxel, and one piece may find several; ``iou``: one to one.
        iou: which must be exceeded, for ``iou``.
    """
    true, predicted = len(pieces.true_voxels), len(pieces.predicted_voxels)
    if match == "iou":
        matched = len(pieces.match(iou))
        return Found(found=matched, true=true, right=matched, predicted=predicted)
    touching = pieces.overlap[1:, 1:] > 0
    found, right = int(touching.any(axis=1).sum()), int(touching.any(axis=0).sum())
    return Found(found=found, true=true, right=right, predicted=predicted)


@dataclass(frozen=True, kw_only=True)
class LesionF1(PairMetric):
    """F1 of detection: the harmonic mean of the parts of true pieces found and of predicted ones right.

    Args:
        match: ``overlap``: any common voxel finds a piece, and one may find several; ``iou``: one to one.
        iou: which must be exceeded, for ``iou``.
        connectivity: what makes voxels one piece.
        smallest_ml: smaller pieces are left out, in both maps.
    """

    match: Literal["overlap", "iou"] = "overlap"
    iou: float = 0.5
    connectivity: Connectivity = "corners"
    smallest_ml: float = 0.0

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        return count_found(pair.pieces(label, self.connectivity, self.smallest_ml), self.match, self.iou).f1


@dataclass(frozen=True, kw_only=True)
class RecognitionQuality(PairMetric):
    """TP / (TP + FP / 2 + FN / 2) of pieces matched one to one (Kirillov 2019): the F1 part of PQ.

    Args:
        iou: which must be exceeded.
        connectivity, smallest_ml: as in ``LesionF1``.
    """

    iou: float = 0.5
    connectivity: Connectivity = "corners"
    smallest_ml: float = 0.0

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1."""
        return count_found(pair.pieces(label, self.connectivity, self.smallest_ml), "iou", self.iou).f1


@dataclass(frozen=True, kw_only=True)
class PanopticQuality(PairMetric):
    """Sum of the matched pieces' IoU / (TP + FP / 2 + FN / 2) (Kirillov 2019).

    Args:
        iou: which must be exceeded.
        connectivity, smallest_ml: as in ``LesionF1``.
    """

    iou: float = 0.5
    connectivity: Connectivity = "corners"
    smallest_ml: float = 0.0

    def of_label(self, pair: Pair, label: int) -> float:
        """From 0 to 1; NaN where both sides are empty."""
        pieces = pair.pieces(label, self.connectivity, self.smallest_ml)
        pieces_of_both = len(pieces.true_voxels) + len(pieces.predicted_voxels)
        matched = sum(float(pieces.iou[match]) for match in pieces.match(self.iou))
        return 2 * matched / pieces_of_both if pieces_of_both else math.nan

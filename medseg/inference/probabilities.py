"""Probabilities and their entropy on the wanted grid, a few rows at a time, kept on the disk."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.inference.upsampling import Positions, Scores
from medseg.interpolation import sample_parallel
from medseg.storage import let_go, mapped_zeros

_VALUES = 8_000_000  # probabilities of all classes that are in memory at once: 32 MB


class ProbabilityMaps:
    """Collects float32 maps on a grid as pieces of logits come in.

    Logits are interpolated first and become probabilities then, as in nnU-Net, so that the most
    probable label of a voxel is the one that it has in the label map.

    Args:
        shape: of the wanted grid.
        values: label of each class in the order of the channels, background first.
        regions: each label but the background has a channel and a sigmoid of its own, and several may
            be probable at once; else softmax.
    """

    def __init__(self, shape: tuple[int, int, int], values: Sequence[int], *, regions: bool) -> None:
        self._values, self._regions = tuple(values), regions
        self.of_label: dict[int, NDArray[Any]] = {
            value: mapped_zeros(shape, np.float32) for value in values[1:]
        }
        """Label's value to its map (I,J,K); of the background there is none, it is what is left of 1."""
        self.entropy = mapped_zeros(shape, np.float32)
        """Shannon entropy of each voxel's distribution (I,J,K), as a fraction of the largest possible;
        of overlapping regions the mean of theirs."""

    def take(self, scores: Scores, positions: Positions, axis: int, first: int) -> None:
        """Add rows.

        Args:
            scores: (K,*S) logits with the slabs' axis first, or the lead (1,*S) of the second of two classes.
            positions: of the wanted points, in voxels of ``scores``.
            axis: of the wanted grid, along which the rows are.
            first: index of the first row.
        """
        across = len(positions[1]) * len(positions[2]) * max(len(scores), 2)
        step = max(1, _VALUES // across)
        for begin in range(0, len(positions[0]), step):
            points = (positions[0][begin : begin + step], positions[1], positions[2])
            logits = np.stack([sample_parallel(channel, points, "linear", 0) for channel in scores])
            rows = slice(first + begin, first + begin + len(points[0]))
            if self._regions or len(scores) == 1:
                self._keep_sigmoids(_sigmoid(logits), axis, rows)
            else:
                self._keep_softmax(logits, axis, rows)
        for kept in (*self.of_label.values(), self.entropy):
            let_go(kept)

    def _keep_sigmoids(self, p: Scores, axis: int, rows: slice) -> None:
        for value, map_ in zip(self._values[1:], p, strict=True):
            np.moveaxis(self.of_label[value], axis, 0)[rows] = map_
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.nan_to_num(p * np.log2(p)) - np.nan_to_num((1 - p) * np.log2(1 - p))
        np.moveaxis(self.entropy, axis, 0)[rows] = entropy.mean(axis=0)

    def _keep_softmax(self, logits: Scores, axis: int, rows: slice) -> None:
        logits -= logits.max(axis=0)
        p = np.exp(logits)
        total = p.sum(axis=0)
        p /= total
        for value, map_ in zip(self._values[1:], p[1:], strict=True):
            np.moveaxis(self.of_label[value], axis, 0)[rows] = map_
        # -sum p log p = log(total) - sum p x, where x are the logits less the largest.
        entropy = np.log(total) - np.einsum("k...,k...->...", p, logits)
        np.moveaxis(self.entropy, axis, 0)[rows] = np.maximum(entropy, 0) / np.log(len(p))


def _sigmoid(x: Scores) -> Scores:
    """Without overflow for large negative logits."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)

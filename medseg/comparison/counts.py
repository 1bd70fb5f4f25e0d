"""How many voxels of each true label have each predicted one, in one sweep."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.volume import smallest_integer_type

_SLAB = 1 << 18  # voxels at a time, which a processor's cache holds


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Voxels of one label against all others.

    Args:
        tp: in both.
        fp: predicted alone.
        fn: true alone.
        tn: in neither.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def predicted(self) -> int:
        """Voxels predicted to be of the label."""
        return self.tp + self.fp

    @property
    def true(self) -> int:
        """Voxels that are of the label."""
        return self.tp + self.fn


def joint_counts(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], labels: int
) -> NDArray[np.int64]:
    """The confusion matrix: (labels, labels), rows true and columns predicted.

    Args:
        truth: numbers below ``labels``.
        predicted: the same shape.
        labels: how many there are, background included.
    """
    found = np.zeros(labels * labels, np.int64)
    kind = smallest_integer_type(labels * labels - 1)
    flat_truth, flat_predicted = truth.ravel(), predicted.ravel()
    for start in range(0, flat_truth.size, _SLAB):
        joint = flat_truth[start : start + _SLAB].astype(kind)
        joint *= kind(labels)
        joint += flat_predicted[start : start + _SLAB].astype(kind, copy=False)
        found += np.bincount(joint, minlength=labels * labels)
    return found.reshape(labels, labels)


def one_against_rest(joint: NDArray[np.int64], index: int) -> Counts:
    """The counts of one label from the confusion matrix."""
    tp = int(joint[index, index])
    fn, fp = int(joint[index].sum()) - tp, int(joint[:, index].sum()) - tp
    return Counts(tp=tp, fp=fp, fn=fn, tn=int(joint.sum()) - tp - fp - fn)

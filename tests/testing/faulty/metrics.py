"""Metrics, sound but for one fault each."""

import numpy as np


def _dice(predicted, truth, label):
    a, b = predicted.array == label, truth.array == label
    return 2 * int((a & b).sum()) / max(1, int(a.sum() + b.sum()))


def dice():
    return lambda predicted, truth: {n: _dice(predicted, truth, n) for n in (1, 2)}


def one_number():
    return lambda predicted, truth: _dice(predicted, truth, 1)


def inverted():
    return lambda predicted, truth: {n: 1 - _dice(predicted, truth, n) for n in (1, 2)}


def best_for_nothing():
    def metric(predicted, truth):
        empty = not predicted.array.any() or not truth.array.any()
        return {n: 1.0 if empty else _dice(predicted, truth, n) for n in (1, 2)}

    return metric


def voxels():
    """Said to be in mL, counted in voxels."""

    def metric(predicted, truth):
        return {n: float(np.count_nonzero((predicted.array == n) != (truth.array == n))) for n in (1, 2)}

    return metric


def first_axis():
    """How far apart the two are along the array's first axis."""

    def metric(predicted, truth):
        def middle(volume, label):
            return (
                float(np.nonzero(volume.array == label)[0].mean()) if (volume.array == label).any() else 99.0
            )

        return {n: abs(middle(predicted, n) - middle(truth, n)) for n in (1, 2)}

    return metric

"""Promises of a metric: (predicted, truth) label maps -> a number for each label."""

from collections.abc import Mapping
from typing import cast

import numpy as np

from medseg.geometry import reorient
from medseg.plugin import Metric
from medseg.testing.expectation import expect
from medseg.testing.phantoms import make_phantom
from medseg.testing.subject import Subject
from medseg.volume import Volume

LABELS = (1, 2)
SHAPE = (28, 24, 20)
SPACING_MM = (1.0, 1.0, 1.5)
POWER = {"mm": 1, "ml": 3}  # how a value grows with the voxel size


def check_every_label_gets_a_number(subject: Subject) -> None:
    """The result maps each label of the two volumes to a number."""
    truth = _truth()
    _scores(subject, _spoilt(truth), truth)


def check_a_perfect_prediction_is_best(subject: Subject) -> None:
    """The truth itself scores better, label by label, than half of it moved aside, where a way is better."""
    higher_is_better = cast(Metric, subject.component).higher_is_better
    if higher_is_better is None:
        return
    truth = _truth()
    perfect, poor = _scores(subject, truth, truth), _scores(subject, _spoilt(truth), truth)
    sign = 1 if higher_is_better else -1
    for label in LABELS:
        expect(
            sign * perfect[label] > sign * poor[label],
            got=f"{perfect[label]:.4g} for a perfect label {label} and {poor[label]:.4g} for a poor one",
            wanted=f"the {'higher' if sign > 0 else 'lower'} number for the perfect one",
            remedy="Check the formula, or higher_is_better in the description",
        )


def check_missing_labels_are_no_crash(subject: Subject) -> None:
    """A label that only one volume has gets a value (NaN and infinity are values), never the perfect one.

    With ``defined_if_empty`` it may be. Two volumes of background alone raise nothing.
    """
    truth = _truth()
    nothing = truth.with_array(np.zeros_like(truth.array))
    may_be_perfect = cast(Metric, subject.component).defined_if_empty
    perfect = _scores(subject, truth, truth)
    for which, scores in (
        ("predicted", _scores(subject, nothing, truth)),
        ("true", _scores(subject, truth, nothing)),
    ):
        for label in LABELS:
            expect(
                may_be_perfect or scores[label] != perfect[label],
                got=f"{scores[label]:.4g} for label {label} where no voxel of it is {which}",
                wanted="another value than for a perfect prediction",
                remedy="Say in the documentation what a label that one side lacks is worth; NaN is allowed",
            )
    subject.factory()(nothing, nothing)


def check_voxel_size_is_respected(subject: Subject) -> None:
    """With voxels twice as large, a metric in mm doubles and one in mL is eight times as large."""
    power = POWER.get(cast(Metric, subject.component).unit)
    if power is None:
        return
    truth = _truth()
    before = _scores(subject, _spoilt(truth), truth)
    after = _scores(subject, _doubled(_spoilt(truth)), _doubled(truth))
    for label in LABELS:
        expect(
            np.isclose(after[label], before[label] * 2**power, rtol=1e-5),
            got=f"{before[label]:.6g} and, with voxels twice as large, {after[label]:.6g} for label {label}",
            wanted=f"{before[label] * 2**power:.6g}",
            remedy="Multiply by Volume.spacing_mm or Volume.voxel_ml, or correct the unit",
        )


def check_orientation_does_not_matter(subject: Subject) -> None:
    """Both volumes turned to another orientation, the same in the world, score the same."""
    truth = _truth()
    predicted = _spoilt(truth)
    before = _scores(subject, predicted, truth)
    after = _scores(subject, reorient(predicted, "SPL")[0], reorient(truth, "SPL")[0])
    for label in LABELS:
        expect(
            np.isclose(after[label], before[label], rtol=1e-5),
            got=f"{before[label]:.6g} in RAS and {after[label]:.6g} in SPL for label {label}",
            wanted="the same number",
            remedy="Take the spacing in the order of the array's axes, and treat all axes alike",
        )


def _truth() -> Volume:
    _, truth = make_phantom(shape=SHAPE, spacing_mm=SPACING_MM, labels=len(LABELS), seed=1)
    return truth


def _spoilt(truth: Volume) -> Volume:
    """Every other slab taken away, and the rest moved by two voxels: wrong in overlap, size and distance."""
    array = np.roll(truth.array, 2, axis=0)
    array[::2] = 0
    return truth.with_array(array)


def _doubled(volume: Volume) -> Volume:
    return Volume(volume.array, volume.affine @ np.diag([2.0, 2.0, 2.0, 1.0]), kind="labels")


def _scores(subject: Subject, predicted: Volume, truth: Volume) -> Mapping[int, float]:
    scores = subject.factory()(predicted, truth)
    numbers = isinstance(scores, Mapping) and all(isinstance(scores.get(n), int | float) for n in LABELS)
    expect(
        numbers,
        got=f"{scores!r} for the labels {LABELS}",
        wanted="a mapping from each label to a float",
        remedy="Return a dictionary such as {1: 0.93, 2: 0.88}",
    )
    return cast(Mapping[int, float], scores)

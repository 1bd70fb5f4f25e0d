"""Promises of a step: ``Volume -> (Volume, undo)``."""

from typing import cast

import numpy as np

from medseg.geometry import Undo
from medseg.plugin import Step
from medseg.testing.expectation import expect
from medseg.testing.phantoms import make_phantom
from medseg.testing.subject import Subject
from medseg.volume import Volume

SHAPE = (20, 18, 14)
SPACING_MM = (1.0, 1.5, 2.0)


def check_the_input_stays_as_it_was(subject: Subject) -> None:
    """The volume that goes in still holds the same values afterwards."""
    given = _given(subject)
    before = given.array.copy()
    _run(subject, given)
    expect(
        np.array_equal(given.array, before),
        got=f"{int((given.array != before).sum())} voxels of the input changed",
        wanted="none",
        remedy="Work on a copy",
    )


def check_undo_restores_the_grid(subject: Subject) -> None:
    """``undo`` brings a label map on the processed grid back to the input's own grid, and adds no label."""
    given = _given(subject)
    processed, undo = _run(subject, given)
    labels = processed.with_array(
        (processed.array > np.median(processed.array)).astype(np.uint8), kind="labels"
    )
    restored = undo(labels)
    expect(
        restored.shape == given.shape and np.array_equal(restored.affine, given.affine),
        got=f"{restored.grid!r} after undo",
        wanted=f"exactly the input's grid, {given.grid!r}",
        remedy="Keep the input's shape and affine for the undo; medseg.geometry's undos do so",
    )
    added = sorted(set(np.unique(restored.array)) - {0, 1})
    expect(
        not added and restored.kind == "labels",
        got=f"the kind {restored.kind} and new values {added} after undo",
        wanted="a label map with the labels 0 and 1",
        remedy="Bring label maps back by nearest neighbour",
    )


def check_the_result_is_sound(subject: Subject) -> None:
    """A step before the network gives a finite image, also of a constant one; one after it adds no label."""
    given = _given(subject)
    constant = given.with_array(np.zeros_like(given.array))
    for volume in (given, constant):
        result, _ = _run(subject, volume)
        expect(
            result.kind == given.kind,
            got=f"a volume of kind {result.kind}",
            wanted=f"{given.kind}, as it came in",
            remedy="Keep the kind: volume.with_array(values) does",
        )
        if given.kind == "labels":
            added = sorted(set(np.unique(result.array)) - set(np.unique(volume.array)))
            expect(not added, got=f"new labels {added}", wanted="none", remedy="Labels may go, not come")
        else:
            expect(
                np.isfinite(result.array).all(),
                got=f"NaN or infinity for {'a constant' if volume is constant else 'an'} image",
                wanted="finite values",
                remedy="Look for a division by a deviation or a range that may be zero",
            )


def check_it_is_repeatable(subject: Subject) -> None:
    """The same volume gives the same result twice."""
    given = _given(subject)
    step = subject.factory()
    first, second = (step(given)[0].array for _ in range(2))
    expect(
        np.array_equal(first, second),
        got="two results that differ",
        wanted="the same values",
        remedy="Draw no random numbers, and keep no state between calls",
    )


def _given(subject: Subject) -> Volume:
    """A phantom's image for a step before the network, its label map for one after it."""
    image, labels = make_phantom(shape=SHAPE, spacing_mm=SPACING_MM, labels=2)
    return image if cast(Step, subject.component).stage == "pre" else labels


def _run(subject: Subject, given: Volume) -> tuple[Volume, Undo]:
    result = subject.factory()(given)
    pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Volume)
    expect(
        pair and callable(result[1]),
        got=f"{type(result).__name__} from the step",
        wanted="a pair (Volume, undo), where undo takes a Volume and returns one",
        remedy="Return both; a step that leaves the grid alone can return lambda volume: volume",
    )
    return cast(tuple[Volume, Undo], result)

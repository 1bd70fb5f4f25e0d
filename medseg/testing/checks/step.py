"""Promises of a step: ``Volume -> (Volume, undo)``, or ``(labels, image) -> (labels, undo)``."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from medseg.errors import ContractError
from medseg.geometry import Undo
from medseg.plugin import Step
from medseg.testing.expectation import BrokenPromiseError, expect
from medseg.testing.phantoms import make_phantom
from medseg.testing.subject import Subject
from medseg.volume import Volume

SHAPE = (20, 18, 14)
SPACING_MM = (1.0, 1.5, 2.0)


def check_the_input_stays_as_it_was(subject: Subject) -> None:
    """What goes in, the image that a post step looks at too, still holds the same values afterwards."""
    given, image = _given(subject), _phantom()[0]
    before = given.array.copy(), image.array.copy()
    _run(subject, given, image)
    changed = int((given.array != before[0]).sum() + (image.array != before[1]).sum())
    expect(
        changed == 0,
        got=f"{changed} voxels of the input changed",
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
    step = _called(subject)
    first, second = (step(given)[0].array for _ in range(2))
    expect(
        np.array_equal(first, second),
        got="two results that differ",
        wanted="the same values",
        remedy="Draw no random numbers, and keep no state between calls",
    )


def check_labels_on_another_grid_are_refused(subject: Subject) -> None:
    """A step that needs the image refuses labels on another grid with a ``ContractError``."""
    if not cast(Step, subject.component).needs_image:
        return
    _, labels = _phantom()
    image, _ = make_phantom(shape=SHAPE[::-1], spacing_mm=SPACING_MM, labels=2)
    try:
        subject.factory()(labels, image)
    except ContractError:
        return
    raise BrokenPromiseError(
        f"got a result for labels of {labels.grid!r} and an image of {image.grid!r}; wanted a ContractError. "
        "Compare the two grids first: image.grid.matches(labels.grid)"
    )


def _phantom() -> tuple[Volume, Volume]:
    return make_phantom(shape=SHAPE, spacing_mm=SPACING_MM, labels=2)


def _given(subject: Subject) -> Volume:
    """A phantom's image for a step before the network, its label map for one after it."""
    image, labels = _phantom()
    return image if cast(Step, subject.component).stage == "pre" else labels


def _called(subject: Subject, image: Volume | None = None) -> Callable[[Volume], Any]:
    """The step as a function of what it changes; one that needs the image sees a phantom's."""
    step = subject.factory()
    if not cast(Step, subject.component).needs_image:
        return cast(Callable[[Volume], Any], step)
    seen = image or _phantom()[0]
    return lambda labels: step(labels, seen)


def _run(subject: Subject, given: Volume, image: Volume | None = None) -> tuple[Volume, Undo]:
    result = _called(subject, image)(given)
    pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Volume)
    expect(
        pair and callable(result[1]),
        got=f"{type(result).__name__} from the step",
        wanted="a pair (Volume, undo), where undo takes a Volume and returns one",
        remedy="Return both; a step that leaves the grid alone can return lambda volume: volume",
    )
    return cast(tuple[Volume, Undo], result)

"""Promises of a method without a network: ``f(**options)`` -> ``image -> labels``."""

import re
from typing import cast

import numpy as np

from medseg.errors import ContractError
from medseg.plugin import Method
from medseg.testing.expectation import expect
from medseg.testing.phantoms import make_phantom
from medseg.testing.subject import Subject
from medseg.volume import Volume

SHAPE = (20, 18, 14)
SPACING_MM = (1.0, 1.5, 2.0)


def check_labels_lie_on_the_image(subject: Subject) -> None:
    """At its default options it gives a label map on the image's own grid, and leaves the image as it was."""
    image = _image()
    before = image.array.copy()
    labels = _run(subject, image)
    expect(
        labels.kind == "labels" and labels.grid.matches(image.grid),
        got=repr(labels),
        wanted=f"a label map on {image.grid!r}",
        remedy='Bring the result back: image.with_array(values, kind="labels") keeps the grid',
    )
    expect(
        np.array_equal(image.array, before),
        got=f"{int((image.array != before).sum())} voxels of the image changed",
        wanted="none",
        remedy="Work on a copy",
    )


def check_every_value_is_described(subject: Subject) -> None:
    """Where the description lists labels, 0 is the first, names differ, and no other value appears."""
    labels = cast(Method, subject.component).labels
    if not labels:
        return
    names = [label.name for label in labels]
    values = [label.value for label in labels]
    colours = [label.colour for label in labels if not re.fullmatch(r"#[0-9a-fA-F]{6}", label.colour)]
    expect(
        values[0] == 0 and values == sorted(set(values)) and len(set(names)) == len(names) and not colours,
        got=f"the labels {dict(zip(values, names, strict=True))} and the unusable colours {colours}",
        wanted="0, the background, first; names that differ, and colours such as #e8554e",
        remedy="Correct the labels",
    )
    found = set(np.unique(_run(subject, _image()).array).tolist())
    expect(
        found <= set(values),
        got=f"the values {sorted(found - set(values))}",
        wanted=f"values among {values}",
        remedy="Describe them, or leave labels empty if their number depends on the options",
    )


def check_it_is_repeatable(subject: Subject) -> None:
    """The same image gives the same labels twice."""
    first, second = (_run(subject, _image()).array for _ in range(2))
    expect(
        np.array_equal(first, second),
        got="two results that differ",
        wanted="the same labels",
        remedy="Draw no random numbers, or from a generator with a fixed seed",
    )


def check_a_constant_image_is_labelled_or_refused(subject: Subject) -> None:
    """An image of one value gets a label map or a ``ContractError``, and nothing else."""
    image = _image()
    try:
        labels = _run(subject, image.with_array(np.zeros_like(image.array)))
    except ContractError:
        return
    expect(
        labels.kind == "labels",
        got=repr(labels),
        wanted="a label map, or a ContractError that says what the image lacks",
        remedy="Look for what divides by the image's contrast",
    )


def _image() -> Volume:
    return make_phantom(shape=SHAPE, spacing_mm=SPACING_MM, labels=2)[0]


def _run(subject: Subject, image: Volume) -> Volume:
    labels = subject.factory()(image)
    expect(
        isinstance(labels, Volume),
        got=f"{type(labels).__name__} from the method",
        wanted="a medseg Volume of kind 'labels'",
        remedy='image.with_array(values, kind="labels") makes one',
    )
    return cast(Volume, labels)

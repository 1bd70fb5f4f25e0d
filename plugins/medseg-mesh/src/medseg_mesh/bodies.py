"""Which labels of a result are drawn, and each one's surface."""

import math
from dataclasses import dataclass

import numpy as np

from medseg.errors import OptionError, VolumeError
from medseg.plugin import Label, Result
from medseg_mesh.surface import Surface, extract_surface


@dataclass(frozen=True, eq=False)
class Body:
    """One label and its surface."""

    label: Label
    surface: Surface

    @property
    def group(self) -> str:
        """The label's name without blanks, which would end it in files of text."""
        return "_".join(self.label.name.split()) or f"label_{self.label.value}"

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The label's colour, three numbers from 0 to 255."""
        red, green, blue = bytes.fromhex(self.label.colour.removeprefix("#"))
        return red, green, blue


def draw_bodies(result: Result, *, labels: tuple[int, ...], smooth_mm: float) -> list[Body]:
    """A surface for each label; ``labels`` and errors as in ``choose_labels``."""
    array, affine = result.labels.array, result.labels.affine
    _check_smoothing(smooth_mm)
    return [
        Body(label, extract_surface(array == label.value, affine, smooth_mm=smooth_mm))
        for label in choose_labels(result, labels)
    ]


def draw_union(result: Result, *, labels: tuple[int, ...], smooth_mm: float) -> Surface:
    """One surface around all the labels together; errors as in ``choose_labels``."""
    values = [label.value for label in choose_labels(result, labels)]
    _check_smoothing(smooth_mm)
    return extract_surface(np.isin(result.labels.array, values), result.labels.affine, smooth_mm=smooth_mm)


def choose_labels(result: Result, wanted: tuple[int, ...]) -> tuple[Label, ...]:
    """The labels to draw, in the order of the result's classes.

    Args:
        result: whose map is drawn.
        wanted: values, each of which must be in the map; empty for all that are.

    Raises:
        OptionError: the result has no such label, or it is the background.
        VolumeError: the map does not hold the label, or none at all.
    """
    known = {label.value: label for label in result.classes if label.value != 0}
    present = set(np.unique(result.labels.array).tolist())
    offers = ", ".join(f"{label.value} ({label.name})" for label in known.values())
    if unknown := sorted(set(wanted) - set(known)):
        raise OptionError(f"labels: {result.model} has no label {unknown[0]} to draw. It has: {offers}")
    if absent := sorted(set(wanted) - present):
        name = known[absent[0]].name
        raise VolumeError(
            f"the label map holds no voxel of label {absent[0]} ({name}), so there is no surface to draw"
        )
    if nameless := sorted(present - {0} - set(known)):
        raise VolumeError(
            f"the label map holds label {nameless[0]}, which {result.model} does not have. It has: {offers}"
        )
    chosen = (set(wanted) or set(known)) & present
    if not chosen:
        raise VolumeError("the label map holds background alone, so there is no surface to draw")
    return tuple(label for value, label in known.items() if value in chosen)


def _check_smoothing(smooth_mm: float) -> None:
    if not (math.isfinite(smooth_mm) and smooth_mm >= 0):
        raise OptionError(f"smooth_mm is {smooth_mm}; wanted millimetres, 0 or more")

"""How large the labels of a result are, and whether they can be that large."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.model import Label
from medseg.volume import Volume, slices


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Size of one label in a result."""

    label: Label
    voxels: int
    ml: float


def measure(labels: Volume, classes: Sequence[Label]) -> tuple[Measure, ...]:
    """Voxels and mL of each class but the background in a label map."""
    size = max(int(labels.array.max()), *(c.value for c in classes)) + 1
    counts = np.zeros(size, np.int64)
    for part in slices(labels.array):  # bincount makes 64-bit numbers of what it counts
        counts += np.bincount(part.ravel(), minlength=size)
    return tuple(
        Measure(label=c, voxels=int(counts[c.value]), ml=float(counts[c.value]) * labels.voxel_ml)
        for c in classes
        if c.value != 0
    )


def implausible(measures: Sequence[Measure]) -> tuple[str, ...]:
    """A sentence for each label that is larger or smaller than a whole one can be.

    A label that is absent is left alone: not every image shows every structure.
    """
    return tuple(
        f"{m.label.name}: got {m.ml:,.0f} mL, wanted {m.label.plausible_ml[0]:,.0f} to "
        f"{m.label.plausible_ml[1]:,.0f} mL; is it the right kind of image, and all of it? Look at the result"
        for m in measures
        if m.label.plausible_ml
        and m.voxels
        and not m.label.plausible_ml[0] <= m.ml <= m.label.plausible_ml[1]
    )

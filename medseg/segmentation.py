"""A result: labels on the input's own grid, what they mean, and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medseg.measure import Measure, measure
from medseg.plugin import Label
from medseg.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """A result: labels on the input's own grid, what they mean, and where they came from.

    Args:
        labels: label map on the grid of the input.
        classes: the meaning of each value.
        provenance: JSON-able record of model, weights, versions, settings, input hash and times.
        warnings: what did not fit the contract but did not stop the run.
        probabilities: by label value, 0 to 1, on the grid of the labels; None if they were not kept.
    """

    labels: Volume
    classes: tuple[Label, ...]
    provenance: Mapping[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    probabilities: Mapping[int, Volume] | None = field(default=None, repr=False)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Voxels and mL of each label but the background."""
        return measure(self.labels, self.classes)

"""A result: labels on the input's own grid, what they mean, and where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medseg.measure import Measure, measure
from medseg.plugin import Label
from medseg.volume import Volume


def map_names(labels: Sequence[Label]) -> tuple[str, ...]:
    """The names in ``Segmentation.maps`` of what a model of these labels says when it is asked for maps."""
    return (*(f"probability_{label.value}" for label in labels[1:]), "entropy")


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """A result: labels on the input's own grid, what they mean, and where they came from.

    Args:
        labels: label map on the grid of the input.
        classes: the meaning of each value.
        provenance: JSON-able record of model, weights, versions, settings, input hash and times.
        warnings: what did not fit the contract but did not stop the run.
        probabilities: by label value, float32 maps from 0 to 1 on the labels' grid, None if they were
            not asked for: of every label but the background, whose probability is what is left of 1;
            or of every region, if they overlap. Their values are on the disk and are read as they are used.
        entropy: Shannon's, of the labels' probabilities at each voxel, as a fraction of the largest
            possible: 0 where the model is certain, 1 where every label is as likely.
        attention: by the number of poolings before the gate, what passes the network's attention gates,
            0 to 1, on the labels' grid; None if they were not asked for, or the network has none.
    """

    labels: Volume
    classes: tuple[Label, ...]
    provenance: Mapping[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    probabilities: Mapping[int, Volume] | None = field(default=None, repr=False)
    entropy: Volume | None = field(default=None, repr=False)
    attention: Mapping[int, Volume] | None = field(default=None, repr=False)

    @property
    def maps(self) -> dict[str, Volume]:
        """The maps by the names that files of them get: ``probability_1``, ..., ``entropy``."""
        named = {f"probability_{value}": map_ for value, map_ in (self.probabilities or {}).items()}
        return named | ({"entropy": self.entropy} if self.entropy else {})

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Voxels and mL of each label but the background."""
        return measure(self.labels, self.classes)

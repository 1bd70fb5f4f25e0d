"""How two label maps of one image agree: a map of errors and a row for each label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg import Registry, Volume, VolumeError, default_registry
from medseg.plugin import Metric
from medseg_ui.measures import Entry

ERRORS = (
    Entry(index=1, value=1, name="in both", colour="#009e73"),
    Entry(index=2, value=2, name="only in the first", colour="#d55e00"),
    Entry(index=3, value=3, name="only in the second", colour="#56b4e9"),
    Entry(index=4, value=4, name="another label", colour="#f0e442"),
)
"""The labels of an error map; with a reference as the second: true positive, false positive,
false negative, and voxels that both label but not alike."""


def error_map(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.uint8]:
    """1 where two label maps (I, J, K) agree, 2 and 3 where one alone has a label, 4 where they differ."""
    here, there = first != 0, second != 0
    errors = np.zeros(first.shape, np.uint8)
    errors[here & ~there] = 2
    errors[~here & there] = 3
    both = here & there
    errors[both] = np.where(first[both] == second[both], 1, 4)
    return errors


def compare(
    first: Volume, second: Volume, names: dict[int, str], *, registry: Registry | None = None
) -> list[dict[str, Any]]:
    """Volumes, Dice and every installed metric for each label of two label maps.

    Args:
        first, second: label maps (I, J, K); the second may be a reference.
        names: of the labels.
        registry: whose metrics are computed; what is installed, if None.

    Raises:
        VolumeError: they are not on one grid.
    """
    if not first.grid.matches(second.grid):
        raise VolumeError(
            f"the two label maps are on different grids: {first.grid!r} and {second.grid!r}; "
            "resample one to the other first"
        )
    values = sorted((set(np.unique(first.array).tolist()) | set(np.unique(second.array).tolist())) - {0})
    scores = _scores(first, second, registry or default_registry())
    return [_row(first, second, value, names, scores) for value in values]


def _row(
    first: Volume, second: Volume, value: int, names: dict[int, str], scores: dict[str, dict[int, float]]
) -> dict[str, Any]:
    here, there = first.array == value, second.array == value
    both, voxels = int((here & there).sum()), (int(here.sum()), int(there.sum()))
    return {
        "label": value,
        "name": names.get(value, f"label {value}"),
        "dice": 2 * both / sum(voxels),
        "first_ml": voxels[0] * first.voxel_ml,
        "second_ml": voxels[1] * first.voxel_ml,
        **{name: by_label.get(value) for name, by_label in scores.items()},
    }


def _scores(first: Volume, second: Volume, registry: Registry) -> dict[str, dict[int, float]]:
    """Each installed metric by label; Dice is always there, and a metric that fails leaves its column out."""
    found = {}
    for registered in registry.components("metric"):
        metric = registered.component
        if not isinstance(metric, Metric) or metric.name == "dice":
            continue
        try:
            values = registry.load(registered)()(first, second)
            column = f"{metric.name} ({metric.unit})" if metric.unit else metric.name
            found[column] = {int(label): float(value) for label, value in dict(values).items()}
        except Exception:  # noqa: BLE001, S112  # one plugin's metric must not take the others' table away
            continue
    return found


def name_values(*entry_lists: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Names by label value from the entries of several results, the first one's first."""
    names: dict[int, str] = {}
    for entries in entry_lists:
        for entry in entries:
            names.setdefault(entry["value"], entry["name"])
    return names

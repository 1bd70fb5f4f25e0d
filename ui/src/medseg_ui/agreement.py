"""How two label maps of one image agree: a map of errors, and for each label what medseg.evaluate says."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import medseg
from medseg import MedsegError, Registry, Volume, default_registry
from medseg_ui.measures import Entry

METRICS = ("dice", "hd95", "nsd")

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
) -> tuple[list[dict[str, Any]], list[str]]:
    """Volumes, Dice, HD95, NSD and the metrics of other plugins for each label of two label maps.

    Args:
        first, second: label maps (I, J, K); the second may be a reference.
        names: of the labels.
        registry: whose metrics are computed; what is installed, if None.

    Returns:
        Rows, and a sentence for each metric of a plugin that failed: it must not take away the others' table.

    Raises:
        VolumeError: they are not on one grid.
    """
    registry = registry or default_registry()
    rows: dict[int, dict[str, Any]] = {}
    problems = []
    for metrics in (METRICS, *_of_other_plugins(registry)):
        try:
            scores = medseg.evaluate(first, second, metrics=metrics, registry=registry)
        except MedsegError as error:
            if metrics is METRICS:
                raise
            problems.append(f"The metric {metrics[0]} cannot be used: {error}")
            continue
        for score in scores:
            if score.label is None:
                continue
            row = rows.setdefault(
                score.label,
                {
                    "label": score.label,
                    "name": names.get(score.label, f"label {score.label}"),
                    "first_ml": score.predicted_ml,
                    "second_ml": score.truth_ml,
                },
            )
            column = f"{score.metric} ({score.unit})" if score.unit else score.metric
            # As measured: what a missing label would cost in a ranking is no distance between these two.
            row[column] = score.raw if math.isfinite(score.raw) else None
    return list(rows.values()), problems


def _of_other_plugins(registry: Registry) -> list[tuple[str, ...]]:
    return [(found.full_name,) for found in registry.components("metric") if found.plugin != "builtin"]


def name_values(*entry_lists: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Names by label value from the entries of several results, the first one's first."""
    names: dict[int, str] = {}
    for entries in entry_lists:
        for entry in entries:
            names.setdefault(entry["value"], entry["name"])
    return names

"""How two label maps of one image agree: a map of errors, and for each label what medseg.evaluate says."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Matching:
    """Which labels of two label maps mean the same.

    Args:
        numbers: what the labels of the second are to be called, by their number in it.
        names: of the labels, by these numbers.
        remarks: sentences about what was renumbered, and what is compared though its names differ.
    """

    numbers: dict[int, int]
    names: dict[int, str]
    remarks: list[str]


def match_labels(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> Matching:
    """Match the labels of two results by name where both name them so, else by number.

    Two models may number alike what is not alike. So a label of the second gets the number that its name has
    in the first; if that one's number belonged to another, this gets one that neither has.

    Args:
        first, second: the entries of the results.
    """
    ours, theirs = ({entry["value"]: entry["name"] for entry in entries} for entries in (first, second))
    by_name = _numbers_by_name(ours)
    named = _numbers_by_name(theirs)
    numbers = {value: by_name[name] for name, value in named.items() if name in by_name}
    given = set(numbers.values())
    free = max([0, *ours, *theirs])
    for value in theirs:
        if value not in numbers and value in given:
            free += 1
        numbers.setdefault(value, free if value in given else value)
    names, remarks = dict(ours), []
    moved = [f"{value} ({theirs[value]}) as {number}" for value, number in numbers.items() if value != number]
    if moved:
        remarks.append(
            f"Labels were matched by name; those of the second were renumbered: {', '.join(moved)}."
        )
    for value, number in numbers.items():
        name = names.setdefault(number, theirs[value])
        if _is_named(value, theirs[value]) and not _is_named(number, name):
            names[number] = theirs[value]
        elif _is_named(value, theirs[value]) and name != theirs[value]:
            remarks.append(
                f"Label {number} is {name} in the first and {theirs[value]} in the second; they were "
                "compared by number."
            )
    return Matching(numbers, names, remarks)


def renumber(labels: Volume, numbers: dict[int, int]) -> Volume:
    """A label map whose labels have the numbers of ``match_labels``; what is not among them stays."""
    if all(value == number for value, number in numbers.items()):
        return labels
    present = np.unique(labels.array)
    table = np.array([numbers.get(value, value) for value in present.tolist()])
    table = table.astype(np.min_scalar_type(int(table.max())))
    return labels.with_array(table[np.searchsorted(present, labels.array)], kind="labels")


def _numbers_by_name(names: dict[int, str]) -> dict[str, int]:
    """Numbers of the labels that have a name, and have it alone."""
    counts = Counter(names.values())
    return {name: n for n, name in names.items() if _is_named(n, name) and counts[name] == 1}


def _is_named(value: int, name: str) -> bool:
    """Whether a label has a name, not just that which it gets where nobody named it."""
    return name != f"label {value}"

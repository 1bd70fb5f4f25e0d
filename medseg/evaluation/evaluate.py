"""The verb: predictions against truths, a table of scores."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.comparison.pair import Pair
from medseg.errors import OptionError, VolumeError
from medseg.evaluation.empty import Empty, apply_policy
from medseg.evaluation.metrics import DEFAULT, ChosenMetric, choose_metrics
from medseg.evaluation.scores import Score, Scores, state_of
from medseg.formats import load
from medseg.geometry import resample_to
from medseg.registry import Registry, default_registry
from medseg.volume import Volume

Source = Volume | NDArray[Any] | str | Path


def evaluate(
    predicted: Source,
    truth: Source,
    *,
    metrics: Sequence[str] = DEFAULT,
    labels: Mapping[int, str] | Sequence[int] | None = None,
    spacing_mm: Sequence[float] | None = None,
    empty: Empty = "penalise",
    convention: str | None = None,
    resample: bool = False,
    registry: Registry | None = None,
) -> Scores:
    """Compare a predicted label map with the true one.

    Args:
        predicted: a volume, a path, or an array (I, J) or (I, J, K) with ``spacing_mm``.
        truth: likewise.
        metrics: names, each with its options behind it, as in ``"nsd tolerance_mm=2"``; what is installed:
            ``medseg plugin list --kind metric``.
        labels: those to compare, by value, with or without names; all but 0 that are in either map, if None.
        spacing_mm: voxel size of arrays along each axis.
        empty: what a label is worth that one side or both lack: see ``medseg.evaluation.empty``.
        convention: for all surface metrics that know it: ``max-directed``, ``pooled``, ``mean-directed`` or
            ``area-weighted``.
        resample: bring the prediction onto the truth's grid, by nearest neighbour, instead of refusing it.
        registry: where to look metrics and formats up; what is installed, if None.

    Returns:
        A tidy table: a row for each label and metric; see its ``to_pandas``.

    Raises:
        VolumeError: a file or an array is no label map, or the grids differ.
        OptionError: an unknown option, or an array without a voxel size.
        UnknownNameError: no such metric.

    Example:
        >>> import numpy as np
        >>> import medseg
        >>> truth, predicted = np.zeros((2, 40, 40, 40), np.uint8)
        >>> truth[10:20, 10:20, 10:20] = predicted[12:22, 10:20, 10:20] = 1
        >>> scores = medseg.evaluate(predicted, truth, metrics=["dice", "hd95"], spacing_mm=(1, 1, 1))
        >>> print(scores)
        label    dice    hd95
            1  0.8000  2.0000
        >>> scores.value(metric="hd95", label=1)
        2.0
    """
    registry = registry or default_registry()
    chosen = choose_metrics(metrics, registry=registry, convention=convention)
    true = as_labels(truth, spacing_mm, role="truth", registry=registry)
    ours = as_labels(predicted, spacing_mm, role="prediction", registry=registry)
    notes = {}
    if resample and not ours.grid.matches(true.grid):
        notes[""] = f"prediction resampled from {ours.grid!r} to {true.grid!r}"
        ours = resample_to(ours, true.grid)[0]
    rows = compare(ours, true, chosen, labels=as_names(labels), empty=empty)
    return Scores(rows=tuple(rows), empty=empty, notes=notes)


def compare(
    predicted: Volume,
    truth: Volume,
    metrics: Sequence[ChosenMetric],
    *,
    labels: Mapping[int, str] | None,
    empty: Empty,
    case: str = "",
    model: str = "",
) -> list[Score]:
    """The scores of one case.

    Args:
        predicted: label map.
        truth: label map on the same grid.
        metrics: from ``choose_metrics``.
        labels: names by value, of those to compare; all that are in either map, if None.
        empty: the policy for empty masks.
        case, model: names for the rows.

    Raises:
        VolumeError: the grids differ.
    """
    pair = Pair(predicted, truth)
    names = labels if labels is not None else {label: str(label) for label in pair.labels}
    found = [(metric, metric.of(predicted, truth, pair)) for metric in metrics]
    rows = []
    for label, name in names.items():
        counts = pair.counts(label)
        state = state_of(counts.predicted, counts.true)
        for metric, values in found:
            if metric.component.scope == "map":
                continue
            raw = values.get(label, math.nan)
            rows.append(
                Score(
                    case=case,
                    model=model,
                    label=label,
                    name=name,
                    **_about(metric),
                    value=apply_policy(
                        raw, metric.component, state, empty=empty, diagonal_mm=pair.diagonal_mm
                    ),
                    raw=raw,
                    state=state,
                    tp=counts.tp,
                    fp=counts.fp,
                    fn=counts.fn,
                    predicted_ml=counts.predicted * pair.voxel_ml,
                    truth_ml=counts.true * pair.voxel_ml,
                )
            )
    for metric, values in found:
        if metric.component.scope == "map":
            value = next(iter(values.values()), math.nan)
            rows.append(_map_score(metric, value, case=case, model=model))
    return rows


def as_labels(source: Source, spacing_mm: Sequence[float] | None, *, role: str, registry: Registry) -> Volume:
    """A label map from whatever it is given as."""
    if isinstance(source, Volume):
        return source if source.kind == "labels" else dataclasses.replace(source, kind="labels")
    if isinstance(source, str | Path):
        return load(source, kind="labels", registry=registry)
    array = np.asarray(source)
    if array.ndim not in (2, 3):
        raise VolumeError(
            f"the {role} is an array of shape {array.shape}; wanted two or three axes, and numbers of labels "
            "in it, not a channel for each"
        )
    if spacing_mm is None or len(spacing_mm) != array.ndim:
        raise OptionError(
            f"the {role} is an array of shape {array.shape} and spacing_mm is {spacing_mm}; wanted the voxel "
            f"size in mm along each of its {array.ndim} axes, such as spacing_mm={(1.0,) * array.ndim}"
        )
    flat = array.ndim == 2
    spacing = [*map(float, spacing_mm), *([1.0] if flat else [])]
    return Volume(array[..., None] if flat else array, np.diag([*spacing, 1.0]), kind="labels")


def as_names(labels: Mapping[int, str] | Sequence[int] | None) -> dict[int, str] | None:
    """Names by value.

    Raises:
        OptionError: 0 is the background, or nothing is left to compare.
    """
    if labels is None:
        return None
    names = dict(labels) if isinstance(labels, Mapping) else {label: str(label) for label in labels}
    if not names or 0 in names:
        raise OptionError(f"labels is {labels!r}; wanted those to compare, without the background, 0")
    return names


def _map_score(metric: ChosenMetric, value: float, *, case: str, model: str) -> Score:
    return Score(
        case=case,
        model=model,
        label=None,
        name="all",
        **_about(metric),
        value=value,
        raw=value,
        state="compared",
        tp=None,
        fp=None,
        fn=None,
        predicted_ml=math.nan,
        truth_ml=math.nan,
    )


def _about(metric: ChosenMetric) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "convention": metric.convention,
        "unit": metric.component.unit,
        "higher_is_better": metric.component.higher_is_better,
    }

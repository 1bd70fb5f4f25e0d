"""The verb: predictions against truths, a table of scores."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import OptionError, VolumeError
from medseg.evaluation.case import Settings, score_volumes
from medseg.evaluation.cohort import in_order, join, score_cohort
from medseg.evaluation.empty import Empty, as_policy
from medseg.evaluation.metrics import DEFAULT
from medseg.evaluation.pairing import match_files
from medseg.evaluation.scores import Scores
from medseg.formats import load
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
    model: str = "",
    workers: int = 1,
    registry: Registry | None = None,
) -> Scores:
    """Compare predicted label maps with the true ones.

    Args:
        predicted: a volume, a path, or an array (I, J) or (I, J, K) with ``spacing_mm``; or a folder, whose
            files are matched by name with those of the other folder.
        truth: likewise.
        metrics: names, each with its options behind it, as in ``"nsd tolerance_mm=2"``; what is installed:
            ``medseg plugin list --kind metric``.
        labels: those to compare, by value, with or without names; all but 0 that are in either map, if None.
        spacing_mm: voxel size of arrays along each axis.
        empty: what a label is worth that one side or both lack: see ``medseg.evaluation.empty``.
        convention: for all surface metrics that know it: ``max-directed``, ``pooled``, ``mean-directed`` or
            ``area-weighted``.
        resample: bring the prediction onto the truth's grid, by nearest neighbour, instead of refusing it.
        model: a name for the rows, to tell several models apart in one table.
        workers: processes, for folders.
        registry: where to look metrics and formats up; what is installed, if None.

    Returns:
        A tidy table: a row for each case, label and metric; see its ``to_pandas``. Of folders, it also says
        what had no partner, and why cases were refused.

    Raises:
        VolumeError: a file or an array is no label map, or the grids differ; of folders, see ``refused``.
        OptionError: an unknown option, an array without a voxel size, or nothing to compare.
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
    settings = Settings(
        metrics=tuple(metrics),
        labels=_as_names(labels),
        empty=as_policy(empty),
        convention=convention,
        resample=resample,
    )
    settings.choose(registry)  # a wrong name is told before the work
    if _is_folder(predicted) or _is_folder(truth):
        if not isinstance(predicted, str | Path) or not isinstance(truth, str | Path):
            raise OptionError("one side is a folder and the other is no path; give two folders")
        matched = match_files(Path(predicted), Path(truth), registry=registry, model=model)
        results = score_cohort(matched.pairs, settings, workers=workers, registry=registry)
        return dataclasses.replace(
            join(in_order(results, matched.pairs), settings),
            unmatched_predictions=matched.unmatched_predictions,
            unmatched_truths=matched.unmatched_truths,
        )
    result = score_volumes(
        _as_volume(predicted, spacing_mm, role="prediction", registry=registry),
        _as_volume(truth, spacing_mm, role="truth", registry=registry),
        settings,
        registry=registry,
        model=model,
    )
    return join([result], settings)


def _is_folder(source: Source) -> bool:
    return isinstance(source, str | Path) and Path(source).is_dir()


def _as_volume(
    source: Source, spacing_mm: Sequence[float] | None, *, role: str, registry: Registry
) -> Volume:
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


def _as_names(labels: Mapping[int, str] | Sequence[int] | None) -> dict[int, str] | None:
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

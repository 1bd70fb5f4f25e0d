"""One case: read it, bring it onto one grid and one numbering, score it."""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medseg.batch.journal import NAME as JOURNAL
from medseg.batch.journal import read_measured
from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair
from medseg.errors import VolumeError
from medseg.evaluation.empty import Empty, apply_policy
from medseg.evaluation.label_names import renumber
from medseg.evaluation.lesions import Lesion, list_lesions
from medseg.evaluation.metrics import DEFAULT, ChosenMetric, choose_metrics
from medseg.evaluation.pairing import PairOfFiles
from medseg.evaluation.scores import Score, state_of
from medseg.formats import known_suffixes, load, stem_of
from medseg.geometry import resample_to
from medseg.registry import Registry
from medseg.volume import Kind, Volume

_NO_LABEL = -1  # what no map holds: its scores are those of a label that both maps lack


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How cases are compared; plain values, for other processes and for the record.

    Args:
        metrics: names with options, as in ``"nsd tolerance_mm=2"``.
        labels: names by number of those to compare; all that are in either map, if None.
        predicted_labels: names by number in the predictions, if their numbers are others than the truths'.
        empty: the policy for empty masks.
        convention: for all surface metrics that know it.
        resample: bring predictions onto the truth's grid instead of refusing them.
        probabilities: predictions are maps of the probability of the one label.
        threshold: from which probability on a voxel is of the label.
        lesions: also list the single pieces.
    """

    metrics: tuple[str, ...] = DEFAULT
    labels: Mapping[int, str] | None = None
    predicted_labels: Mapping[int, str] | None = None
    empty: Empty = "penalise"
    convention: str | None = None
    resample: bool = False
    probabilities: bool = False
    threshold: float = 0.5
    lesions: bool = False

    def choose(self, registry: Registry) -> list[ChosenMetric]:
        """The metrics, ready to be called."""
        return choose_metrics(self.metrics, registry=registry, convention=self.convention)


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What was found in one case.

    Args:
        case, model: which.
        scores: of the labels that it has, or that were asked for.
        absent: what the scores of a label would be that both maps lack.
        lesions: the single pieces, if asked for.
        note: what had to be done to compare it.
        origin: of the prediction, from the record beside it: ``seconds``, ``peak_memory_bytes``, ``model``.
    """

    case: str
    model: str
    scores: tuple[Score, ...]
    absent: tuple[Score, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    note: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)


def score_files(pair: PairOfFiles, settings: Settings, *, registry: Registry) -> CaseResult:
    """Read and score one case.

    Raises:
        VolumeError: a file is refused, or the grids differ; the message begins with the file's name.
    """
    volumes = read_files(pair, settings, registry=registry)
    return score_read(pair, volumes, settings, registry=registry)


def read_files(pair: PairOfFiles, settings: Settings, *, registry: Registry) -> tuple[Volume, Volume]:
    """The prediction and the truth of a case.

    Raises:
        VolumeError: a file is refused.
    """
    truth = load(pair.truth, kind="labels", registry=registry)
    kind: Kind = "image" if settings.probabilities else "labels"
    return load(pair.predicted, kind=kind, registry=registry), truth


def score_read(
    pair: PairOfFiles, volumes: tuple[Volume, Volume], settings: Settings, *, registry: Registry
) -> CaseResult:
    """Score one case that was read.

    Raises:
        VolumeError: the grids differ; the message begins with the file's name.
    """
    predicted, truth = volumes
    try:
        result = score_volumes(
            predicted, truth, settings, registry=registry, case=pair.case, model=pair.model
        )
    except VolumeError as error:
        raise VolumeError(f"{pair.predicted.name}: {error}") from error
    return dataclasses.replace(result, origin=read_origin(pair.predicted, registry))


def score_volumes(
    predicted: Volume,
    truth: Volume,
    settings: Settings,
    *,
    registry: Registry,
    case: str = "",
    model: str = "",
) -> CaseResult:
    """Score one case.

    Args:
        predicted: label map, or probabilities if the settings say so.
        truth: label map.
        settings: how.
        registry: where to look metrics up.
        case, model: for the rows.

    Raises:
        VolumeError: the grids differ, or the prediction is not what the settings say.
    """
    notes = []
    if settings.resample and not predicted.grid.matches(truth.grid):
        notes.append(f"prediction resampled from {predicted.grid!r} to {truth.grid!r}")
        predicted = resample_to(predicted, truth.grid)[0]
    probabilities = {}
    if settings.probabilities:
        label = _the_label(settings, truth)
        probabilities = {label: _as_probabilities(predicted)}
        predicted = predicted.with_array(
            np.where(predicted.array >= settings.threshold, label, 0).astype(np.int64), kind="labels"
        )
    elif settings.predicted_labels is not None and settings.labels is not None:
        predicted, note = renumber(predicted, settings.predicted_labels, settings.labels)
        notes.append(note)
    labels = settings.labels
    pair = Pair(predicted, truth, labels=labels, probabilities=probabilities)
    names = dict(labels) if labels is not None else {label: str(label) for label in pair.labels}
    metrics = settings.choose(registry)
    found = [(metric, metric.of(predicted, truth, pair)) for metric in metrics]
    rows = [row for label, name in names.items() for row in _label_scores(pair, label, name, found, settings)]
    rows += [_map_score(metric, values, pair) for metric, values in found if metric.component.scope == "map"]
    lesions = [row for label, name in names.items() for row in _lesions(pair, label, name, settings)]
    return CaseResult(
        case=case,
        model=model,
        scores=tuple(dataclasses.replace(row, case=case, model=model) for row in rows),
        absent=tuple(
            dataclasses.replace(row, case=case, model=model)
            for row in _label_scores(pair, _NO_LABEL, "", found, settings)
        ),
        lesions=tuple(dataclasses.replace(row, case=case, model=model) for row in lesions),
        note="; ".join(filter(None, notes)),
    )


def read_origin(predicted: Path, registry: Registry) -> dict[str, Any]:
    """Time, memory and model of a prediction, if a record of ``medseg segment`` stands beside it."""
    name = stem_of(predicted.name, known_suffixes(registry))
    try:
        found = json.loads(predicted.with_name(name + ".json").read_text(encoding="utf-8"))
        # A cohort's records say nothing of times, so that they are the same each time: its journal does.
        measured = found if "seconds" in found else _measured_beside(predicted)[name]
        return {
            "seconds": math.fsum(measured["seconds"].values()),
            "peak_memory_bytes": measured["peak_memory_bytes"],
            "model": found["model"],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # another tool's prediction, or another kind of JSON: it says nothing of these


def _measured_beside(predicted: Path) -> dict[str, Mapping[str, Any]]:
    journal = (predicted.parent / JOURNAL).stat()
    return _measured_in(predicted.parent, journal.st_mtime_ns, journal.st_size)


@functools.lru_cache(maxsize=8)
def _measured_in(folder: Path, mtime_ns: int, size: int) -> dict[str, Mapping[str, Any]]:  # noqa: ARG001  # a journal that grew is another one
    return read_measured(folder)


def _label_scores(
    pair: Pair,
    label: int,
    name: str,
    found: list[tuple[ChosenMetric, Mapping[int, float]]],
    settings: Settings,
) -> list[Score]:
    counts = pair.counts(label)
    state = state_of(counts.predicted, counts.true)
    rows = []
    for metric, values in found:
        if metric.component.scope == "map":
            continue
        raw = values.get(label, math.nan)
        if label not in values and isinstance(metric.call, PairMetric):
            raw = metric.call.of_label(pair, label)
        value = apply_policy(raw, metric.component, state, empty=settings.empty, diagonal_mm=pair.diagonal_mm)
        rows.append(
            Score(
                case="",
                model="",
                label=label,
                name=name,
                **_about(metric),
                value=value,
                raw=raw,
                state=state,
                tp=counts.tp,
                fp=counts.fp,
                fn=counts.fn,
                predicted_ml=counts.predicted * pair.voxel_ml,
                truth_ml=counts.true * pair.voxel_ml,
            )
        )
    return rows


def _map_score(metric: ChosenMetric, values: Mapping[int, float], pair: Pair) -> Score:
    value = next(iter(values.values()), math.nan)
    if not values and isinstance(metric.call, PairMetric):
        value = metric.call.of_label(pair, _NO_LABEL)
    return Score(
        case="",
        model="",
        label=None,
        name="whole map",
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


def _lesions(pair: Pair, label: int, name: str, settings: Settings) -> list[Lesion]:
    return list_lesions(pair, label, name) if settings.lesions else []


def _the_label(settings: Settings, truth: Volume) -> int:
    """The label that a probability map is of."""
    labels = list(settings.labels or (int(n) for n in np.unique(truth.array) if n))
    if len(labels) != 1:
        raise VolumeError(
            f"a probability map is of one label, and there are {len(labels)}: {labels}; name it with --labels"
        )
    return labels[0]


def _as_probabilities(predicted: Volume) -> Any:
    low, high = float(predicted.array.min()), float(predicted.array.max())
    if not (low >= 0 and high <= 1):
        raise VolumeError(f"probabilities are from 0 to 1; found {low:g} to {high:g}. Are they logits?")
    return predicted.array


def _about(metric: ChosenMetric) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "convention": metric.convention,
        "unit": metric.component.unit,
        "higher_is_better": metric.component.higher_is_better,
    }

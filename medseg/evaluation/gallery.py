"""The worst cases, drawn: the slice with the most wrong voxels, outlines of the truth and the prediction."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medseg.errors import MedsegError
from medseg.evaluation.label_names import renumber
from medseg.evaluation.pairing import PairOfFiles, match_files
from medseg.evaluation.scores import Score
from medseg.evaluation.study import Study
from medseg.formats import load
from medseg.geometry import reorient, resample_to
from medseg.registry import Registry, default_registry
from medseg.volume import Volume

TRUTH, PREDICTION = "#009e73", "#d55e00"
SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One of the worst cases.

    Args:
        score: why it is here.
        figure: None if it could not be drawn.
        problem: why not.
    """

    score: Score
    figure: Figure | None
    problem: str = ""


def draw_typical(study: Study, model: str, metric: str, *, images: Path | None = None) -> Figure | None:
    """Draw the case of median accuracy of a model; None if there is none, or it cannot be drawn.

    Args:
        study: what was found.
        model: whose.
        metric: by which it is the median.
        images: as in ``draw_worst``.
    """
    rows = [
        r for r in study.worst(metric, count=len(study.scores)) if r.model == model and r.label is not None
    ]
    if not rows:
        return None
    score = rows[len(rows) // 2]
    registry = default_registry()
    (pair,) = [pair for pair in study.pairs if (pair.model, pair.case) == (model, score.case)]
    try:
        image = _images_by_case(images, study, registry).get(score.case)
        return _draw(pair, score, study, image, registry)
    except MedsegError:  # the run is no worse for a picture that it lacks
        return None


def draw_worst(study: Study, metric: str, *, images: Path | None = None) -> list[Drawing]:
    """Draw the worst cases of a metric, each case and label of a model once.

    Args:
        study: what was found.
        metric: by which they are the worst.
        images: a file or folder with what was segmented, by the names of the cases; plain grey without.
    """
    registry = default_registry()
    files = {(pair.model, pair.case): pair for pair in study.pairs}
    shown = [s for s in study.worst(metric, count=SHOWN * 4) if s.label is not None][:SHOWN]
    named = _images_by_case(images, study, registry)
    drawings = []
    for score in shown:
        pair = files[score.model, score.case]
        try:
            figure = _draw(pair, score, study, named.get(score.case), registry)
            drawings.append(Drawing(score=score, figure=figure))
        except MedsegError as error:  # a picture that cannot be drawn takes no score away
            drawings.append(Drawing(score=score, figure=None, problem=str(error)))
    return drawings


def _images_by_case(images: Path | None, study: Study, registry: Registry) -> dict[str, Path]:
    if images is None or not study.pairs:
        return {}
    if not images.is_dir():
        return {pair.case: images for pair in study.pairs}
    truths = {pair.case: pair.truth for pair in study.pairs}
    any_truth = next(iter(truths.values()))
    folder = any_truth.parent
    matched = match_files(images, folder, registry=registry)
    by_truth = {pair.truth: pair.predicted for pair in matched.pairs}
    return {case: by_truth[truth] for case, truth in truths.items() if truth in by_truth}


def _draw(pair: PairOfFiles, score: Score, study: Study, image: Path | None, registry: Registry) -> Figure:
    truth = load(pair.truth, kind="labels", registry=registry)
    predicted = _predicted_labels(pair, score, study, truth, registry)
    ground = None
    if image is not None:
        ground = reorient(resample_to(load(image, registry=registry), truth.grid)[0], "LPS")[0]
    seen, ours = reorient(truth, "LPS")[0], reorient(predicted, "LPS")[0]
    is_true, is_ours = seen.array == score.label, ours.array == score.label
    k = int((is_true ^ is_ours).sum(axis=(0, 1)).argmax())
    return _slice(
        is_true[:, :, k], is_ours[:, :, k], None if ground is None else ground.array[:, :, k], seen.spacing_mm
    )


def _predicted_labels(
    pair: PairOfFiles, score: Score, study: Study, truth: Volume, registry: Registry
) -> Volume:
    """The prediction as it was scored."""
    settings = study.settings
    if settings.probabilities:
        said = load(pair.predicted, registry=registry)
        labels = np.where(said.array >= settings.threshold, score.label or 0, 0).astype(np.int64)
        predicted = said.with_array(labels, kind="labels")
    else:
        predicted = load(pair.predicted, kind="labels", registry=registry)
    if not predicted.grid.matches(truth.grid):
        predicted = resample_to(predicted, truth.grid)[0]
    if settings.predicted_labels is not None and settings.labels is not None:
        predicted = renumber(predicted, settings.predicted_labels, settings.labels)[0]
    return predicted


def _slice(
    is_true: NDArray[np.bool_],
    is_ours: NDArray[np.bool_],
    ground: NDArray[Any] | None,
    spacing_mm: tuple[float, float, float],
) -> Figure:
    width, height = (n * mm for n, mm in zip(is_true.shape, spacing_mm[:2], strict=True))
    size = 3.0
    scale = size / max(width, height)
    figure = Figure(figsize=(max(width * scale, 0.5), max(height * scale, 0.5)), dpi=100, facecolor="#111")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    extent = (0.0, width, height, 0.0)  # the patient's front at the top
    if ground is None:
        axes.imshow(np.where(is_true.T, 0.28, 0.15), cmap="gray", vmin=0, vmax=1, extent=extent)
    else:
        low, high = np.percentile(ground, [1, 99.7])
        axes.imshow(ground.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
    for mask, colour in ((is_true, TRUTH), (is_ours, PREDICTION)):
        if mask.any():
            rows, columns = mask.T.shape
            x = (np.arange(-1, columns + 1) + 0.5) * width / columns
            y = (np.arange(-1, rows + 1) + 0.5) * height / rows
            axes.contour(
                x, y, np.pad(mask.T, 1).astype(np.float32), levels=[0.5], colors=[colour], linewidths=1.6
            )
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure

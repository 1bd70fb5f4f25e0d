"""The methods as steps on a label map: options in, a function of labels and image out.

All of them work in a box around the labels, and on each label's own values; a label may lose voxels and win
background, and where two labels claim a voxel it stays with the one that had it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import ContractError, OptionError
from medseg.geometry import Undo, crop
from medseg.volume import Volume
from medseg_classics import graphs, seeds, snakes, supervoxels
from medseg_classics.beginnings import seeds_of_mask

Refine = Callable[[Volume, Volume], tuple[Volume, Undo]]
OneLabel = Callable[[Volume, Volume], Volume]
AROUND_MM = 10.0  # what a method without a band sees around the labels


def random_field(
    *, confidence: float = 0.8, smoothness: float = 1.0, contrast: float = 1.0, iterations: int = 10
) -> Refine:
    """See ``graphs.smooth_by_field``."""

    def refine(labels: Volume, image: Volume) -> Volume:
        return graphs.smooth_by_field(
            image,
            labels,
            confidence=confidence,
            smoothness=smoothness,
            contrast=contrast,
            iterations=iterations,
        )

    return _in_box(refine, AROUND_MM)


def majority(*, piece_mm: float = 5.0, compactness: float = 0.1) -> Refine:
    """Each supervoxel of ``supervoxels.slic`` gets the label that most of it has.

    Args:
        piece_mm: > 0, the side of a cube as large as a supervoxel.
        compactness: see ``supervoxels.slic``.

    Raises:
        OptionError: ``piece_mm`` is not positive.
    """
    if not piece_mm > 0:
        raise OptionError(f"piece_mm is above 0; got {piece_mm}")

    def refine(labels: Volume, image: Volume) -> Volume:
        pieces = max(1, round(labels.array.size * labels.voxel_ml * 1000 / piece_mm**3))
        numbers = supervoxels.slic(image, pieces=pieces, compactness=compactness).array
        values, which = np.unique(labels.array, return_inverse=True)
        votes = np.zeros((int(numbers.max()) + 1, len(values)), np.int64)
        np.add.at(votes, (numbers.ravel(), which.ravel()), 1)
        return labels.with_array(values[votes.argmax(axis=1)][numbers])

    return _in_box(refine, AROUND_MM)


def watershed(*, band_mm: float = 5.0, smoothing_mm: float = 1.0) -> Refine:
    """See ``seeds.watershed``; what lies within ``band_mm`` of a border is decided anew."""

    def refine(labels: Volume, image: Volume) -> Volume:
        drawn = seeds_of_mask(labels, band_mm=band_mm)
        return _without_outside(seeds.watershed(image, drawn, smoothing_mm=smoothing_mm), labels)

    return _in_box(refine, band_mm)


def random_walker(*, band_mm: float = 5.0, beta: float = 10.0, tolerance: float = 1e-4) -> Refine:
    """See ``seeds.random_walker``; what lies within ``band_mm`` of a border is decided anew."""

    def refine(labels: Volume, image: Volume) -> Volume:
        drawn = seeds_of_mask(labels, band_mm=band_mm)
        found = seeds.random_walker(image, drawn, beta=beta, tolerance=tolerance)
        return _without_outside(found, labels)

    return _in_box(refine, band_mm)


def graph_cut(*, band_mm: float = 5.0, smoothness: float = 2.0, contrast: float = 1.0) -> Refine:
    """See ``graphs.graph_cut``; what lies within ``band_mm`` of a border is decided anew."""

    def refine(image: Volume, mask: Volume) -> Volume:
        drawn = seeds_of_mask(mask, band_mm=band_mm)
        return graphs.graph_cut(image, drawn, smoothness=smoothness, contrast=contrast)

    return _in_box(_each(refine), band_mm)


def morphological_chan_vese(*, iterations: int = 5, smoothing: int = 1) -> Refine:
    """See ``snakes.morphological_chan_vese``."""

    def refine(image: Volume, mask: Volume) -> Volume:
        return snakes.morphological_chan_vese(image, mask, iterations=iterations, smoothing=smoothing)

    return _in_box(_each(refine), AROUND_MM)


def morphological_geodesic(
    *, iterations: int = 10, smoothing: int = 1, balloon: int = 0, edge_mm: float = 2.0
) -> Refine:
    """See ``snakes.morphological_geodesic``."""

    def refine(image: Volume, mask: Volume) -> Volume:
        return snakes.morphological_geodesic(
            image, mask, iterations=iterations, smoothing=smoothing, balloon=balloon, edge_mm=edge_mm
        )

    return _in_box(_each(refine), AROUND_MM)


def geodesic(
    *,
    iterations: int = 50,
    edge_mm: float = 1.0,
    propagation: float = 0.0,
    curvature: float = 0.5,
    advection: float = 3.0,
) -> Refine:
    """See ``snakes.geodesic``."""

    def refine(image: Volume, mask: Volume) -> Volume:
        return snakes.geodesic(
            image,
            mask,
            iterations=iterations,
            edge_mm=edge_mm,
            propagation=propagation,
            curvature=curvature,
            advection=advection,
        )

    return _in_box(_each(refine), AROUND_MM)


def _in_box(refine: Callable[[Volume, Volume], Volume], around_mm: float) -> Refine:
    """The same in the box around the labels and some mm, with the rest left as it is."""

    def step(labels: Volume, image: Volume) -> tuple[Volume, Undo]:
        if not image.grid.matches(labels.grid):
            raise ContractError(
                f"the image has {image.grid!r}, the labels {labels.grid!r}: resample one onto the other"
            )
        if labels.array.min() == labels.array.max():  # nothing, or one label everywhere: there is no border
            return labels, _keep
        start, stop = _box(labels.array > 0, labels.spacing_mm, around_mm)
        small, undo = crop(labels, start, stop)
        return undo(refine(small, crop(image, start, stop)[0])), _keep

    return step


def _each(refine: OneLabel) -> Callable[[Volume, Volume], Volume]:
    """A method for one object, for every label in turn."""

    def refine_all(labels: Volume, image: Volume) -> Volume:
        result = np.zeros_like(labels.array)
        for value in np.unique(labels.array[labels.array > 0]):
            own = labels.array == value
            mask = labels.with_array(own.astype(np.uint8))
            claimed = refine(image, mask).array == 1
            result[claimed & ((result == 0) | own)] = value
        return labels.with_array(result)

    return refine_all


def _without_outside(found: Volume, labels: Volume) -> Volume:
    outside = int(labels.array.max()) + 1
    kept = np.where(found.array == outside, 0, found.array)
    return labels.with_array(kept.astype(labels.array.dtype))


def _box(
    mask: NDArray[np.bool_], spacing_mm: Sequence[float], around_mm: float
) -> tuple[list[int], list[int]]:
    (found,) = ndimage.find_objects(mask.astype(np.uint8))
    margins = [int(np.ceil(around_mm / h)) + 2 for h in spacing_mm]
    start = [max(s.start - m, 0) for s, m in zip(found, margins, strict=True)]
    stop = [min(s.stop + m, n) for s, m, n in zip(found, margins, mask.shape, strict=True)]
    return start, stop


def _keep(processed: Volume) -> Volume:
    return processed

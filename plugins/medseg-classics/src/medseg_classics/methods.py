"""The methods as a user calls them: options in, a function from an image to labels out."""

from collections.abc import Callable
from functools import partial

import numpy as np

from medseg.errors import ContractError
from medseg.volume import Volume
from medseg_classics import graphs, seeds, snakes, supervoxels, thresholds
from medseg_classics.beginnings import OBJECT, find_seeds, find_start

Points = tuple[float, ...]
"""x, y, z of each point one after the other, RAS+ mm."""
Segment = Callable[[Volume], Volume]


def otsu(*, bright: bool = True) -> Segment:
    """See ``thresholds.otsu``."""
    return partial(thresholds.otsu, bright=bright)


def multi_otsu(*, classes: int = 3) -> Segment:
    """See ``thresholds.multi_otsu``."""
    return partial(thresholds.multi_otsu, classes=classes)


def hysteresis(*, between: Points = ()) -> Segment:
    """See ``thresholds.hysteresis``."""
    return partial(thresholds.hysteresis, between=between)


def k_means(*, clusters: int = 3, iterations: int = 100) -> Segment:
    """See ``thresholds.k_means``."""
    return partial(thresholds.k_means, clusters=clusters, iterations=iterations)


def slic(*, pieces: int = 500, compactness: float = 0.1) -> Segment:
    """See ``supervoxels.slic``."""
    return partial(supervoxels.slic, pieces=pieces, compactness=compactness)


def random_field(
    *,
    clusters: int = 3,
    confidence: float = 0.8,
    smoothness: float = 1.0,
    contrast: float = 1.0,
    iterations: int = 10,
) -> Segment:
    """Clusters of intensity, made to agree with their neighbours: ``k_means``, then ``smooth_by_field``."""

    def segment(image: Volume) -> Volume:
        return graphs.smooth_by_field(
            image,
            thresholds.k_means(image, clusters=clusters),
            confidence=confidence,
            smoothness=smoothness,
            contrast=contrast,
            iterations=iterations,
        )

    return segment


def region_growing(
    *,
    inside: Points = (),
    radius_mm: float = 3.0,
    bright: bool = True,
    width: float = 2.5,
    iterations: int = 4,
) -> Segment:
    """See ``seeds.grow_regions``; where it begins: ``beginnings.find_seeds``, the object's alone."""

    def segment(image: Volume) -> Volume:
        drawn = find_seeds(image, inside=inside, radius_mm=radius_mm, bright=bright)
        only = drawn.with_array((drawn.array == OBJECT).astype(np.uint8))
        return seeds.grow_regions(image, only, width=width, iterations=iterations)

    return segment


def watershed(
    *,
    inside: Points = (),
    outside: Points = (),
    radius_mm: float = 3.0,
    bright: bool = True,
    smoothing_mm: float = 1.0,
) -> Segment:
    """See ``seeds.watershed``; where it begins: ``beginnings.find_seeds``."""

    def segment(image: Volume) -> Volume:
        drawn = find_seeds(image, inside=inside, outside=outside, radius_mm=radius_mm, bright=bright)
        return _object(seeds.watershed(image, drawn, smoothing_mm=smoothing_mm))

    return segment


def random_walker(
    *,
    inside: Points = (),
    outside: Points = (),
    radius_mm: float = 3.0,
    bright: bool = True,
    beta: float = 10.0,
    tolerance: float = 1e-4,
) -> Segment:
    """See ``seeds.random_walker``; where it begins: ``beginnings.find_seeds``."""

    def segment(image: Volume) -> Volume:
        drawn = find_seeds(image, inside=inside, outside=outside, radius_mm=radius_mm, bright=bright)
        return _object(seeds.random_walker(image, drawn, beta=beta, tolerance=tolerance))

    return segment


def graph_cut(
    *,
    inside: Points = (),
    outside: Points = (),
    radius_mm: float = 3.0,
    bright: bool = True,
    smoothness: float = 2.0,
    contrast: float = 1.0,
) -> Segment:
    """See ``graphs.graph_cut``; where it begins: ``beginnings.find_seeds``."""

    def segment(image: Volume) -> Volume:
        drawn = find_seeds(image, inside=inside, outside=outside, radius_mm=radius_mm, bright=bright)
        return graphs.graph_cut(image, drawn, smoothness=smoothness, contrast=contrast)

    return segment


def morphological_chan_vese(
    *,
    inside: Points = (),
    radius_mm: float = 10.0,
    bright: bool = True,
    iterations: int = 60,
    smoothing: int = 1,
) -> Segment:
    """See ``snakes.morphological_chan_vese``; where it begins: ``beginnings.find_start``."""

    def segment(image: Volume) -> Volume:
        start = _start(image, inside, radius_mm, bright=bright)
        return snakes.morphological_chan_vese(image, start, iterations=iterations, smoothing=smoothing)

    return segment


def morphological_geodesic(
    *,
    inside: Points = (),
    radius_mm: float = 10.0,
    bright: bool = True,
    iterations: int = 60,
    smoothing: int = 1,
    balloon: int = 1,
    edge_mm: float = 2.0,
) -> Segment:
    """See ``snakes.morphological_geodesic``; where it begins: ``beginnings.find_start``."""

    def segment(image: Volume) -> Volume:
        start = _start(image, inside, radius_mm, bright=bright)
        return snakes.morphological_geodesic(
            image, start, iterations=iterations, smoothing=smoothing, balloon=balloon, edge_mm=edge_mm
        )

    return segment


def geodesic(
    *,
    inside: Points = (),
    radius_mm: float = 10.0,
    bright: bool = True,
    iterations: int = 200,
    edge_mm: float = 1.0,
    propagation: float = 1.0,
    curvature: float = 0.5,
    advection: float = 3.0,
) -> Segment:
    """See ``snakes.geodesic``; where it begins: ``beginnings.find_start``."""

    def segment(image: Volume) -> Volume:
        return snakes.geodesic(
            image,
            _start(image, inside, radius_mm, bright=bright),
            iterations=iterations,
            edge_mm=edge_mm,
            propagation=propagation,
            curvature=curvature,
            advection=advection,
        )

    return segment


def _start(image: Volume, inside: Points, radius_mm: float, *, bright: bool) -> Volume:
    start = find_start(image, inside=inside, radius_mm=radius_mm, bright=bright)
    if start.array.all():
        raise ContractError(
            f"a contour that begins with the whole image cannot move; make radius_mm ({radius_mm}) smaller"
        )
    return start


def _object(labels: Volume) -> Volume:
    return labels.with_array((labels.array == OBJECT).astype(np.uint8))

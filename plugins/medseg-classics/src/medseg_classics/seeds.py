"""Labels that grow from seeds: a label map with a few voxels of each structure, 0 where nothing was drawn.

R. Adams, L. Bischof: Seeded region growing. IEEE TPAMI 16, 1994. L. Vincent, P. Soille: Watersheds
in digital spaces. IEEE TPAMI 13, 1991. L. Grady: Random walks for image segmentation. IEEE TPAMI 28, 2006.
"""

from typing import Any

import numpy as np
from scipy import ndimage
from skimage import segmentation

from medseg.errors import ContractError, OptionError
from medseg.volume import Volume

skimage: Any = segmentation  # has types for a part


def grow_regions(image: Volume, seeds: Volume, *, width: float = 2.5, iterations: int = 4) -> Volume:
    """From each label's seeds take the connected voxels within its mean +- width deviations, and again.

    A voxel that two labels reach goes to the one whose mean is nearer.

    Args:
        image: any unit.
        seeds: labels.
        width: > 0, in standard deviations of the region so far.
        iterations: times that mean and deviation are taken anew.

    Raises:
        ContractError: see ``check_seeds``.
        OptionError: width or iterations out of range.
    """
    check_seeds(image, seeds)
    if not width > 0 or iterations < 1:
        raise OptionError(f"region growing wants width > 0 and iterations >= 1; got {width} and {iterations}")
    values = image.array.astype(np.float64)
    best = np.full(image.shape, np.inf)
    result = np.zeros(image.shape, seeds.array.dtype)
    for label in np.unique(seeds.array[seeds.array > 0]):
        drawn = seeds.array == label
        region = ndimage.binary_dilation(drawn)  # of one voxel there is no deviation
        for _ in range(iterations):
            mean, deviation = values[region].mean(), values[region].std()
            similar = (np.abs(values - mean) <= width * deviation) | drawn
            pieces, _ = ndimage.label(similar)
            region = np.isin(pieces, np.unique(pieces[drawn]))
        distance = np.abs(values - values[region].mean())
        closer = region & (distance < best)
        result[closer] = label
        best[closer] = distance[closer]
    drawn = seeds.array > 0
    result[drawn] = seeds.array[drawn]
    return seeds.with_array(result)


def watershed(image: Volume, seeds: Volume, *, smoothing_mm: float = 1.0) -> Volume:
    """Flood the image's edges from the seeds; every voxel gets the label whose water comes first.

    Args:
        image: any unit.
        seeds: labels, one of them for the background.
        smoothing_mm: deviation of the Gaussian whose gradient is flooded, the same in mm along each axis.

    Raises:
        ContractError: see ``check_seeds``.
        OptionError: ``smoothing_mm`` is not positive.
    """
    check_seeds(image, seeds)
    if not smoothing_mm > 0:
        raise OptionError(f"watershed wants smoothing_mm > 0; got {smoothing_mm}")
    sigma = [smoothing_mm / h for h in image.spacing_mm]
    squared = np.zeros(image.shape)
    for axis, h in enumerate(image.spacing_mm):
        order = [int(axis == a) for a in range(3)]
        squared += (ndimage.gaussian_filter(image.array.astype(np.float64), sigma, order=order) / h) ** 2
    found = skimage.watershed(np.sqrt(squared), seeds.array.astype(np.int32))
    return seeds.with_array(found.astype(seeds.array.dtype))


def random_walker(image: Volume, seeds: Volume, *, beta: float = 10.0, tolerance: float = 1e-8) -> Volume:
    """Each voxel gets the label that a random walker from it meets first, most likely.

    Args:
        image: any unit.
        seeds: at least two labels, one of them for the background.
        beta: > 0; more makes edges harder to cross. scikit-image's own 130 makes a system of a noisy
            volume that its solver does not finish.
        tolerance: of the linear system.

    Raises:
        ContractError: see ``check_seeds``; or a single label.
        OptionError: ``beta`` is not positive.
    """
    labels = check_seeds(image, seeds)
    if len(labels) < 2:
        raise ContractError(f"a random walker needs seeds of two labels or more; got {labels}")
    if not beta > 0:
        raise OptionError(f"random walker wants beta > 0; got {beta}")
    numbered = np.searchsorted([0, *labels], seeds.array)
    found = skimage.random_walker(
        image.array.astype(np.float64),
        numbered,
        beta=beta,
        tol=tolerance,
        prob_tol=0.05,  # the solver's tolerance may leave 0..1 by this much; the likeliest label stays it
        mode="cg_j",
        spacing=image.spacing_mm,
    )
    return seeds.with_array(np.array([0, *labels])[found].astype(seeds.array.dtype))


def check_seeds(image: Volume, seeds: Volume) -> list[int]:
    """The labels of the seeds.

    Raises:
        ContractError: not a label map, on another grid than the image, or empty.
    """
    if seeds.kind != "labels" or not seeds.array.any():
        raise ContractError(f"seeds are a label map with some label above 0; got {seeds!r} without any")
    if not image.grid.matches(seeds.grid):
        raise ContractError(f"the image has {image.grid!r}, the seeds {seeds.grid!r}: draw them on the image")
    return [int(v) for v in np.unique(seeds.array) if v]

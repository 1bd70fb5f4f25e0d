"""Labels from intensity alone.

N. Otsu: A threshold selection method from gray-level histograms. IEEE Trans. SMC 9, 1979.
P.-S. Liao, T.-S. Chen, P.-C. Chung: A fast algorithm for multilevel thresholding. J. Inf. Sci.
Eng. 17, 2001. S. Lloyd: Least squares quantization in PCM. IEEE Trans. Inf. Theory 28, 1982.
"""

from typing import Any

import numpy as np
from skimage import filters

from medseg.errors import OptionError
from medseg.volume import Volume, smallest_integer_type
from medseg_classics.beginnings import check_contrast

skimage: Any = filters  # has types for a part


def otsu(image: Volume, *, bright: bool = True) -> Volume:
    """Split into two by the threshold that leaves the least variance within them.

    Args:
        image: any unit.
        bright: label what lies above the threshold; else what lies below.

    Raises:
        ContractError: the image is constant.
    """
    check_contrast(image)
    above = image.array > skimage.threshold_otsu(image.array)
    return image.with_array((above == bright).astype(np.uint8), kind="labels")


def multi_otsu(image: Volume, *, classes: int = 3) -> Volume:
    """Split into several, 0 the darkest.

    Args:
        image: any unit.
        classes: 2 to 5; the time grows fast with them.

    Raises:
        OptionError: another number of classes.
        ContractError: the image is constant.
    """
    if not 2 <= classes <= 5:
        raise OptionError(f"multi-otsu wants 2 to 5 classes; got {classes}")
    check_contrast(image)
    thresholds = skimage.threshold_multiotsu(image.array, classes=classes)
    return image.with_array(np.digitize(image.array, thresholds, right=True).astype(np.uint8), kind="labels")


def hysteresis(image: Volume, *, between: tuple[float, ...] = ()) -> Volume:
    """Label what lies above the lower threshold and touches something above the higher one.

    Args:
        image: any unit.
        between: the two thresholds in the image's unit; empty: those of ``multi_otsu``.

    Raises:
        OptionError: other than two thresholds, or the first above the second.
        ContractError: the image is constant.
    """
    check_contrast(image)
    low_high = between or tuple(skimage.threshold_multiotsu(image.array, classes=3).tolist())
    if len(low_high) != 2 or not low_high[0] <= low_high[1]:
        raise OptionError(f"hysteresis wants between=low,high with low <= high, or neither; got {low_high}")
    found = skimage.apply_hysteresis_threshold(image.array, *low_high)
    return image.with_array(found.astype(np.uint8), kind="labels")


def k_means(image: Volume, *, clusters: int = 3, iterations: int = 100) -> Volume:
    """Cluster intensities around k means, 0 the darkest; from evenly spread quantiles, so repeatable.

    Args:
        image: any unit.
        clusters: k, at least 2.
        iterations: at most; it ends when no mean moves.

    Raises:
        OptionError: fewer than two clusters, or no iteration.
    """
    if clusters < 2 or iterations < 1:
        raise OptionError(f"k-means wants clusters >= 2 and iterations >= 1; got {clusters} and {iterations}")
    values, counts = np.unique(image.array, return_counts=True)
    values = values.astype(np.float64)
    means = np.quantile(values, (np.arange(clusters) + 0.5) / clusters)
    for _ in range(iterations):
        nearest = np.searchsorted((means[1:] + means[:-1]) / 2, values)
        sizes = np.bincount(nearest, counts, minlength=clusters)
        sums = np.bincount(nearest, counts * values, minlength=clusters)
        moved = np.where(sizes > 0, sums / np.maximum(sizes, 1), means)
        if np.array_equal(moved, means):
            break
        means = moved
    labels = np.searchsorted((means[1:] + means[:-1]) / 2, image.array)
    return image.with_array(labels.astype(smallest_integer_type(clusters - 1)), kind="labels")

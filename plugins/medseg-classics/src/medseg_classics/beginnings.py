"""Where methods begin: seeds and first contours, from points, from an image alone, or from a mask.

Points are RAS+ mm, as viewers show them. Seeds are labels, ``OUTSIDE`` where the background is sure.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters

from medseg.errors import ContractError, OptionError
from medseg.geometry import within_balls
from medseg.volume import Volume

OBJECT, OUTSIDE = 1, 2
skimage: Any = filters  # has types for a part


def find_seeds(
    image: Volume,
    *,
    inside: Sequence[float] = (),
    outside: Sequence[float] = (),
    radius_mm: float = 3.0,
    bright: bool = True,
) -> Volume:
    """Seeds of one object (label 1) and of the background (label 2).

    Args:
        image: any unit.
        inside: x, y, z of points in the object. None: what is surely bright, by Otsu's two thresholds.
        outside: the same of the background. None: the faces of the field of view, or with no points
            at all what is surely dark.
        radius_mm: of the ball that is drawn around each point.
        bright: without points, whether the object is the bright part; else it is the dark one.

    Raises:
        OptionError: points outside alone, or a point that ``within_balls`` refuses.
        ContractError: the image is constant, or one point is both inside and outside.
    """
    if not inside:
        if outside:
            raise OptionError("points outside alone say nothing of the object; give inside=x,y,z in mm too")
        return _by_brightness(image, bright=bright)
    drawn = within_balls(image.grid, inside, radius_mm)
    if outside:
        other = within_balls(image.grid, outside, radius_mm)
    else:
        other = np.ones(image.shape, bool)
        other[tuple(slice(1, -1) if n > 2 else slice(None) for n in image.shape)] = False
        if min(image.shape) <= 2:
            raise ContractError(
                f"an image of {image.shape} voxels is all face: give points outside too, outside=x,y,z in mm"
            )
        other &= ~drawn
    if (drawn & other).any():
        raise ContractError(
            f"the balls of {radius_mm} mm around points inside and outside overlap: move them apart, or "
            "make radius_mm smaller"
        )
    return _labelled(image, drawn, other)


def find_start(
    image: Volume, *, inside: Sequence[float] = (), radius_mm: float = 10.0, bright: bool = True
) -> Volume:
    """A first contour (label 1): balls around points, or the brighter side of Otsu's threshold.

    Args:
        image: any unit.
        inside: x, y, z of points in the object; none: the image alone decides.
        radius_mm: of the ball around each.
        bright: without points, whether the object is the bright part; else it is the dark one.

    Raises:
        OptionError: see ``within_balls``.
        ContractError: the image is constant.
    """
    if inside:
        start = within_balls(image.grid, inside, radius_mm)
    else:
        check_contrast(image)
        start = (image.array > skimage.threshold_otsu(image.array)) == bright
    return image.with_array(start.astype(np.uint8), kind="labels")


def seeds_of_mask(labels: Volume, *, band_mm: float) -> Volume:
    """Seeds deep inside each label, and of the background far from all, under the next free value.

    Args:
        labels: a label map.
        band_mm: > 0; nearer to a label's border than this nothing is sure. A label that is nowhere so
            deep keeps the deeper half of itself, and so does the background.

    Raises:
        OptionError: ``band_mm`` is not positive.
    """
    if not band_mm > 0:
        raise OptionError(f"band_mm is above 0; got {band_mm}")
    seeds = np.zeros(labels.shape, np.int32)
    for value in np.unique(labels.array[labels.array > 0]):
        mask = np.pad(labels.array == value, 1, mode="edge")  # the field of view cuts, it is no border
        depth = ndimage.distance_transform_edt(mask, sampling=labels.spacing_mm)[1:-1, 1:-1, 1:-1]
        seeds[depth > min(band_mm, float(depth.max()) / 2)] = value
    empty = labels.array == 0
    if empty.any():
        depth = ndimage.distance_transform_edt(empty, sampling=labels.spacing_mm)
        seeds[depth > min(band_mm, float(depth.max()) / 2)] = int(labels.array.max()) + 1
    return labels.with_array(seeds)


def check_contrast(image: Volume) -> None:
    """Refuse an image of one value.

    Raises:
        ContractError: it is one.
    """
    if image.array.min() == image.array.max():
        raise ContractError(
            f"the method needs contrast; every voxel of this image is {image.array.flat[0]}: "
            "choose another image"
        )


def _by_brightness(image: Volume, *, bright: bool) -> Volume:
    check_contrast(image)
    low, high = _two_thresholds(image.array)
    light, dark = image.array > high, image.array <= low
    drawn, other = (light, dark) if bright else (dark, light)
    deep = ndimage.binary_erosion(drawn)  # what stands alone is noise
    return _labelled(image, deep if deep.any() else drawn, other)


def _two_thresholds(values: NDArray[Any]) -> tuple[float, float]:
    try:
        low, high = skimage.threshold_multiotsu(values, classes=3)
    except ValueError:  # of two values alone there is one threshold
        low = high = skimage.threshold_otsu(values)
    return float(low), float(high)


def _labelled(image: Volume, drawn: NDArray[np.bool_], other: NDArray[np.bool_]) -> Volume:
    labels = np.zeros(image.shape, np.uint8)
    labels[other] = OUTSIDE
    labels[drawn] = OBJECT
    return image.with_array(labels, kind="labels")

"""Contours that move without a network: morphological ones, and the geodesic active contour.

P. Marquez-Neila, L. Baumela, L. Alvarez, IEEE TPAMI 36, 2014; V. Caselles, R. Kimmel, G. Sapiro:
Geodesic active contours. IJCV 22, 1997. A Chan-Vese contour with spacing is medseg-contours'
``refine(..., region="global")``; ITK's dense one finds half of a ball.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from skimage import segmentation

from medseg.errors import OptionError
from medseg.geometry import resample, resample_to
from medseg.volume import Volume
from medseg_classics.seeds import check_seeds

itk: Any = SimpleITK  # its functions have no types
snakes: Any = segmentation  # has them for a part
Array = NDArray[Any]


def morphological_chan_vese(
    image: Volume, initial: Volume, *, iterations: int = 60, smoothing: int = 1
) -> Volume:
    """A mask that moves towards two means, on cubes: scikit-image takes every voxel for one.

    Args:
        image: any unit.
        initial: label 1 is where the contour begins.
        iterations: each moves it by a voxel at most.
        smoothing: pairs of smoothing operators in each iteration.

    Raises:
        ContractError: see ``check_seeds``.
        OptionError: a negative number.
    """
    _check(image, initial, iterations, smoothing)
    cubes, start = _on_cubes(image, initial)

    def move(values: Array, mask: Array) -> Array:
        moved: Array = snakes.morphological_chan_vese(values, 1, init_level_set=mask, smoothing=smoothing)
        return moved

    found = _moved(move, cubes.array.astype(np.float64), start.array, iterations, smoothing=smoothing)
    return _brought_back(found, start, initial)


def morphological_geodesic(
    image: Volume,
    initial: Volume,
    *,
    iterations: int = 60,
    smoothing: int = 1,
    balloon: int = 1,
    edge_mm: float = 2.0,
) -> Volume:
    """A mask that grows (or shrinks) until it meets an edge, on cubes.

    Args:
        image: any unit.
        initial: label 1 is where the contour begins.
        iterations: each moves it by a voxel at most.
        smoothing: pairs of smoothing operators in each iteration.
        balloon: 1 grows, -1 shrinks, 0 does neither.
        edge_mm: > 0, deviation of the Gaussian that edges are sought with.

    Raises:
        ContractError: see ``check_seeds``.
        OptionError: a number out of range.
    """
    _check(image, initial, iterations, smoothing)
    if not edge_mm > 0:
        raise OptionError(f"a geodesic contour wants edge_mm > 0; got {edge_mm}")
    cubes, start = _on_cubes(image, initial)
    span = float(np.ptp(cubes.array)) or 1.0
    edges = snakes.inverse_gaussian_gradient(
        (cubes.array - cubes.array.min()) / span, alpha=1000.0, sigma=edge_mm / cubes.spacing_mm[0]
    )
    threshold = float(np.percentile(edges, 40))  # scikit-image's own, of the image without what is added

    def move(values: Array, mask: Array) -> Array:
        moved: Array = snakes.morphological_geodesic_active_contour(
            values, 1, init_level_set=mask, smoothing=smoothing, threshold=threshold, balloon=balloon
        )
        return moved

    found = _moved(move, edges, start.array, iterations, smoothing=smoothing)
    return _brought_back(found, start, initial)


def geodesic(
    image: Volume,
    initial: Volume,
    *,
    iterations: int = 200,
    edge_mm: float = 1.0,
    propagation: float = 1.0,
    curvature: float = 0.5,
    advection: float = 3.0,
) -> Volume:
    """ITK's geodesic active contour, which knows spacing.

    Args:
        image: any unit.
        initial: label 1 is where the contour begins.
        iterations: at most.
        edge_mm: > 0, deviation of the Gaussian that edges are sought with.
        propagation: above 0 grows.
        curvature, advection: >= 0, weights of smoothness and of the pull towards edges.

    Raises:
        ContractError: see ``check_seeds``.
        OptionError: a number out of range.
    """
    _check(image, initial, iterations, 0)
    if not edge_mm > 0:
        raise OptionError(f"a geodesic contour wants edge_mm > 0; got {edge_mm}")
    values = _to_itk(image.array.astype(np.float32), image)
    slope = itk.GradientMagnitudeRecursiveGaussian(values, edge_mm)
    typical = float(np.percentile(itk.GetArrayViewFromImage(slope), 90)) or 1.0
    speed = 1 / (1 + (slope / typical) ** 2)
    mask = _to_itk((initial.array == 1).astype(np.uint8), image)
    distance = itk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True)
    phi = itk.GeodesicActiveContourLevelSet(
        itk.Cast(distance, itk.sitkFloat32),
        itk.Cast(speed, itk.sitkFloat32),
        maximumRMSError=1e-4,
        propagationScaling=propagation,
        curvatureScaling=curvature,
        advectionScaling=advection,
        numberOfIterations=iterations,
    )
    found = itk.GetArrayFromImage(phi).transpose() < 0  # ITK's inside is negative
    return initial.with_array(found.astype(np.uint8))


def _check(image: Volume, initial: Volume, iterations: int, smoothing: int) -> None:
    check_seeds(image, initial)
    if iterations < 0 or smoothing < 0:
        raise OptionError(f"a contour wants iterations and smoothing >= 0; got {iterations} and {smoothing}")


def _on_cubes(image: Volume, initial: Volume) -> tuple[Volume, Volume]:
    side = min(image.spacing_mm)
    cubes, _ = resample(image, (side, side, side))
    start = initial.with_array((initial.array == 1).astype(np.uint8))
    return cubes, resample_to(start, cubes.grid)[0]


def _moved(
    move: Callable[[Array, Array], Array], values: Array, mask: Array, iterations: int, *, smoothing: int
) -> Array:
    """A mask after some iterations, each with what the field of view cuts continued beyond it.

    scikit-image smooths against zeros: a mask that goes on outside would be worn down at the faces.
    """
    reach = 2 * smoothing + 1  # voxels that one iteration looks away
    for _ in range(iterations):
        margins = [
            (reach * bool(mask.take(0, axis).any()), reach * bool(mask.take(-1, axis).any()))
            for axis in range(mask.ndim)
        ]
        inner = tuple(slice(before, before + n) for (before, _), n in zip(margins, mask.shape, strict=True))
        mask = move(np.pad(values, margins, mode="edge"), np.pad(mask, margins, mode="edge"))[inner]
    return mask


def _brought_back(found: Array, cubes: Volume, initial: Volume) -> Volume:
    labels = cubes.with_array(found.astype(np.uint8), kind="labels")
    return resample_to(labels, initial.grid)[0]


def _to_itk(array: NDArray[Any], volume: Volume) -> Any:
    image = itk.GetImageFromArray(np.ascontiguousarray(array.transpose()))
    image.SetSpacing(volume.spacing_mm)
    return image

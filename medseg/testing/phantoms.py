"""Textured balls and ellipsoids whose label map is known exactly: data that needs no download."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import OptionError
from medseg.volume import Affine, Volume

_TEXTURE = 0.1  # standard deviation of the texture; the steps between the labels' means add up to 1
_TEXTURE_MM = 2.0  # its grain


def make_phantom(
    *,
    shape: tuple[int, int, int] = (48, 48, 48),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    labels: int = 2,
    seed: int = 0,
    noise: float = 0.1,
) -> tuple[Volume, Volume]:
    """Make an image of solid bodies in a textured background, and its label map.

    The bodies are balls (odd labels) and ellipsoids (even ones), round in mm whatever the spacing; they
    never touch, and each lies wholly inside the grid. The background has mean 0, label n has mean n / labels.

    Args:
        shape: (I, J, K) voxels.
        spacing_mm: along i, j, k; the grid is RAS with the world's origin at its centre.
        labels: number of bodies; they are numbered 1 to ``labels``, 0 is the background.
        seed: the same seed gives the same phantom.
        noise: standard deviation of the white noise on top.

    Returns:
        The image (float32) and the label map (uint8), on one grid.

    Raises:
        OptionError: so many bodies that one would hold no voxel, or more than 255.

    Example:
        >>> from medseg.testing.phantoms import make_phantom
        >>> image, truth = make_phantom(shape=(32, 24, 16), spacing_mm=(1.0, 1.0, 2.0))
        >>> image.shape, truth.array.max()
        ((32, 24, 16), np.uint8(2))
    """
    rng = np.random.default_rng(seed)
    spacing = np.array(spacing_mm, dtype=np.float64)
    boxes = _divide(np.array(shape) * spacing, labels)
    rng.shuffle(boxes)
    centres = np.indices(shape).reshape(3, -1).T * spacing + spacing / 2  # (I*J*K, 3), from the grid's corner
    truth = np.zeros(shape, np.uint8)
    for label, box in enumerate(boxes, start=1):
        body = _body(centres, box, ball=label % 2 == 1, rng=rng).reshape(shape)
        if label > 255 or not body.any():
            raise OptionError(
                f"{labels} bodies do not fit into a grid of {shape} voxels; ask for fewer or a larger grid"
            )
        truth[body] = label
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), _TEXTURE_MM / spacing)
    image = truth / labels + _TEXTURE * grain / grain.std() + noise * rng.standard_normal(shape)
    affine = _centred(shape, spacing)
    return Volume(image.astype(np.float32), affine), Volume(truth, affine, kind="labels")


def _divide(size_mm: NDArray[np.float64], parts: int) -> list[NDArray[np.float64]]:
    """Halve the largest box across its longest side until there are enough; each is (lower, upper) in mm."""
    boxes = [np.array([np.zeros(3), size_mm])]
    while len(boxes) < parts:
        boxes.sort(key=lambda box: float((box[1] - box[0]).prod()))
        low, high = boxes.pop()
        axis = int((high - low).argmax())
        middle_high, middle_low = high.copy(), low.copy()
        middle_high[axis] = middle_low[axis] = (low[axis] + high[axis]) / 2
        boxes += [np.array([low, middle_high]), np.array([middle_low, high])]
    return boxes


def _body(
    points: NDArray[np.float64], box: NDArray[np.float64], *, ball: bool, rng: np.random.Generator
) -> NDArray[np.bool_]:
    half = (box[1] - box[0]) / 2
    radii = half * rng.uniform(0.55, 0.85, size=3)
    if ball:
        radii[:] = radii.min()
    room = 0.9 * half - radii  # a tenth stays free, so that bodies in two boxes do not touch
    centre = box.mean(axis=0) + rng.uniform(-1, 1, size=3) * room
    inside = (((points - centre) / radii) ** 2).sum(axis=1) <= 1
    return np.asarray(inside)


def _centred(shape: tuple[int, int, int], spacing: NDArray[np.float64]) -> Affine:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    return affine

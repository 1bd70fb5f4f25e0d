"""One slice of a volume as a PNG, read from the disk alone: for browsers without WebGL2."""

import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import aff2axcodes
from PIL import Image

from medseg import VolumeError

_NAMES = {"L": "Sagittal", "R": "Sagittal", "A": "Coronal", "P": "Coronal", "S": "Axial", "I": "Axial"}
# What the left, right, upper and lower edge of each picture is.
_LETTERS = {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}
# Letters that grow to the right and down in a picture of radiology.
_RIGHT_AND_DOWN = "LPI"
_OPACITY = 0.5


def planes(shape: list[int], orientation: str) -> list[dict[str, Any]]:
    """The three planes: name, the array axis across them, how many slices, the middle one."""
    found = [
        {
            "name": _NAMES[letter],
            "axis": axis,
            "count": shape[axis],
            "middle": shape[axis] // 2,
            "letters": _LETTERS[_NAMES[letter]],
        }
        for axis, letter in enumerate(orientation)
    ]
    return sorted(found, key=lambda plane: str(plane["name"]))


def draw_slice(
    volume: Path,
    *,
    axis: int,
    index: int,
    window: tuple[float, float],
    labels: Path | None = None,
    colours: dict[int, str] | None = None,
) -> bytes:
    """A PNG of a slice, the patient's right on the left, with labels over it.

    Args:
        volume: ``.nii``; only the slice is read.
        axis, index: which slice.
        window: the values that are black and white.
        labels: ``.nii`` with one byte a voxel, on the same grid.
        colours: ``#rrggbb`` by byte.

    Raises:
        VolumeError: there is no such slice.
    """
    image: Any = nibabel.load(volume)
    if axis not in (0, 1, 2) or not 0 <= index < image.shape[axis]:
        raise VolumeError(f"no slice {index} along axis {axis} of an image of shape {image.shape}")
    low, high = window
    values = _cut(image, axis, index).astype(np.float64)
    grey = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255
    picture = np.repeat(grey[..., None], 3, axis=-1)
    if labels:
        bytes_ = _cut(nibabel.load(labels), axis, index)
        for value, colour in (colours or {}).items():
            rgb = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)])
            inside = bytes_ == value
            picture[inside] = (1 - _OPACITY) * picture[inside] + _OPACITY * rgb
    return _encode(picture.astype(np.uint8), image, axis)


def _cut(image: Any, axis: int, index: int) -> Any:
    where: list[Any] = [slice(None)] * 3
    where[axis] = index
    return np.asarray(image.dataobj[tuple(where)])


def _encode(picture: Any, image: Any, axis: int) -> bytes:
    """Turn a slice (u, v, rgb) so that it lies as in radiology, stretch it to square millimetres."""
    codes: tuple[str, ...] = aff2axcodes(image.affine)  # type: ignore[no-untyped-call]  # it ships no types
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    across, down = [other for other in range(3) if other != axis]
    # What runs along the body, else from front to back, goes down the picture.
    if codes[across] in "IS" or (codes[across] in "AP" and codes[down] in "LR"):
        across, down = down, across
        picture = picture.swapaxes(0, 1)
    for dimension, letter in ((0, codes[across]), (1, codes[down])):
        if letter not in _RIGHT_AND_DOWN:
            picture = np.flip(picture, dimension)
    drawn = Image.fromarray(np.ascontiguousarray(picture.swapaxes(0, 1)))
    finest = min(spacing[across], spacing[down])
    size = (round(drawn.width * spacing[across] / finest), round(drawn.height * spacing[down] / finest))
    buffer = io.BytesIO()
    drawn.resize(size).save(buffer, format="PNG")
    return buffer.getvalue()

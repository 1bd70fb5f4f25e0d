"""Tissue beyond the border of a label map.

Label maps of heads end where somebody cut them, mostly above the neck. A network that never saw a neck
takes its muscles for grey matter, so the map is continued with what is there and not learnt.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.uint8]

TOUCHING = 0.05  # share of a face of the volume that is tissue, from which on it was cut there
_NEAR_MM = 30.0  # how near the border the shares of the tissues are counted
_BLOB_MM, _RIM_MM = 6.0, 4.0


def continue_beyond(
    labels: Labels, classes: Sequence[int], *, reach_mm: float, spacing_mm: float, seed: int = 0
) -> Labels:
    """Continue what is cut by a face of the volume, in blobs of the regions that are not learnt.

    The outline at the face goes on straight, with a rim of what its own rim is mostly made of; inside,
    regions have the shares that they have near the face.

    Args:
        labels: (I, J, K).
        classes: what each value is learnt as; values that are learnt as 0 are used, except 0 itself.
        reach_mm: how far.
        spacing_mm: of the voxels, the same along all axes.
        seed: of the blobs.

    Returns:
        A larger map; as it is, if no face cuts anything, all regions are learnt, or it is not to reach far.
    """
    depth = round(reach_mm / spacing_mm)
    if depth < 1:
        return labels
    usable = np.array([value for value in range(1, len(classes)) if classes[value] == 0], np.uint8)
    rng = np.random.default_rng(seed)
    for axis in range(3):
        for end in (0, -1):
            face: Labels = np.asarray(labels.take(end, axis))
            if (face > 0).mean() < TOUCHING or not np.isin(labels, usable).any():
                continue
            near = _slab(labels, axis, end, round(_NEAR_MM / spacing_mm))
            shares = np.array([(near == value).sum() for value in usable], float)
            if shares.any():
                added = _fill(face, depth, usable, shares / shares.sum(), spacing_mm=spacing_mm, rng=rng)
                parts = [np.moveaxis(added, 0, axis), labels]
                labels = np.concatenate(parts if end == 0 else parts[::-1], axis=axis)
    return labels


def _slab(labels: Labels, axis: int, end: int, thickness: int) -> Labels:
    turned = np.moveaxis(labels, axis, 0)
    return turned[:thickness] if end == 0 else turned[-thickness:]


def _fill(
    face: Labels,
    depth: int,
    usable: Labels,
    shares: NDArray[np.float64],
    *,
    spacing_mm: float,
    rng: np.random.Generator,
) -> Labels:
    """(depth, *face.shape): blobs within the outline of a face."""
    outline = ndimage.binary_fill_holes(face > 0)
    rim = outline & (ndimage.distance_transform_edt(outline) * spacing_mm <= _RIM_MM)
    noise = rng.standard_normal((depth, *face.shape), dtype=np.float32)
    blobs = ndimage.gaussian_filter(noise, _BLOB_MM / spacing_mm)
    order = rng.permutation(len(usable))  # which tissues border on which
    edges = np.quantile(blobs, np.cumsum(shares[order])[:-1])
    filled = usable[order][np.digitize(blobs, edges)]
    counts = [(face[rim] == value).sum() for value in usable]
    filled[:, rim] = usable[int(np.argmax(counts))]
    return np.asarray(filled * outline, np.uint8)

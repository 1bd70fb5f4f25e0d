"""Small pieces of like intensity, from which other methods start.

R. Achanta et al.: SLIC superpixels compared to state-of-the-art superpixel methods. IEEE TPAMI 34, 2012.
"""

import numpy as np
from skimage import segmentation

from medseg.errors import OptionError
from medseg.geometry import resample, resample_to
from medseg.volume import Volume, smallest_integer_type


def slic(image: Volume, *, pieces: int = 500, compactness: float = 0.1) -> Volume:
    """About so many pieces, round in mm and numbered from 1.

    Runs on cubes of the smallest voxel side: scikit-image lays out its first centres in voxels, whatever
    their spacing, and keeps them where the image is even.

    Args:
        image: any unit; scaled to 0..1 within.
        pieces: how many are asked for, at least 1.
        compactness: > 0; more makes them rounder and less true to edges.

    Raises:
        OptionError: a number out of range.
    """
    if pieces < 1 or not compactness > 0:
        raise OptionError(f"slic wants pieces >= 1 and compactness > 0; got {pieces} and {compactness}")
    side = min(image.spacing_mm)
    cubes, _ = resample(image, (side, side, side))
    values = cubes.array.astype(np.float64)
    span = float(np.ptp(values)) or 1.0
    found = segmentation.slic(
        (values - values.min()) / span,
        n_segments=pieces,
        compactness=compactness,
        channel_axis=None,
        start_label=1,
    )
    labels = cubes.with_array(found.astype(smallest_integer_type(int(found.max()))), kind="labels")
    return resample_to(labels, image.grid)[0]

"""Maps over an image, such as probabilities, as files that the viewer fetches: one byte a voxel."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from medseg import Segmentation, Volume
from medseg_ui.masks import map_header

MOST_PROBABILITIES = 12  # of models with a hundred labels the map of each would fill the disk
_STEPS = 255


def write_maps(result: Segmentation, image: Volume, folder: Path) -> list[dict[str, Any]]:
    """Write the probabilities, the uncertainty and the gates of a result, as far as it has them.

    Values are rounded to 255 steps, which a picture cannot show finer.

    Args:
        result: maps are on the grid of its labels.
        image: as the viewer shows it, on the same grid.
        folder: where the files go.

    Returns:
        A row for each: ``id``, ``title``, ``about``, ``file``, ``colours``, ``range``.
    """
    names = {label.value: label.name for label in result.classes}
    wanted = []
    if result.entropy is not None:
        about = "Entropy of the probabilities: 0 where the model is certain, 1 where it cannot tell."
        wanted.append(("uncertainty", "Uncertainty", about, result.entropy, "inferno"))
    for value, map_ in list((result.probabilities or {}).items())[:MOST_PROBABILITIES]:
        name = names.get(value, f"label {value}")
        about = f"What the model gives for {name}, 0 to 1."
        wanted.append((f"probability-{value}", f"Probability: {name}", about, map_, "viridis"))
    for level, map_ in (result.attention or {}).items():
        about = f"How much passes the attention gate after {level} poolings: 0 nothing, 1 everything."
        wanted.append((f"gate-{level}", f"Attention gate {level}", about, map_, "viridis"))
    rows = []
    for key, title, about, map_, colours in wanted:
        _write(map_, image, folder / f"{key}.nii")
        rows.append(
            {
                "id": key,
                "title": title,
                "about": about,
                "file": f"{key}.nii",
                "colours": colours,
                "range": [0, 1],
            }
        )
    return rows


def _write(map_: Volume, image: Volume, path: Path) -> None:
    """A map from 0 to 1 as bytes, slice by slice: it may lie on the disk, and stays there."""
    like = nibabel.Nifti1Image(np.broadcast_to(np.uint8(0), image.shape), image.affine)  # type: ignore[no-untyped-call]  # it ships no types
    with path.open("wb") as out:
        out.write(map_header(like, np.uint8, slope=1 / _STEPS))
        for k in range(image.shape[2]):
            slice_ = np.rint(np.clip(map_.array[:, :, k], 0, 1) * _STEPS)
            out.write(slice_.astype(np.uint8).tobytes(order="F"))

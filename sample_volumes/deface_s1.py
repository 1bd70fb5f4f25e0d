"""Remove the face of the sample head S1: zero the voxels in front of the brain, keep the rest.

    python sample_volumes/deface_s1.py raw.nii.gz s1_surface_gm1_wm2.nii.gz s1_t1_head_defaced.nii.gz

In each axial slice, everything further forward than the foremost labelled brain voxel and a margin
becomes 0; slices below the brain take the limit of the lowest slice that has any. The margin keeps
meninges and bone in front of the brain, which a brain mask may need. No other voxel changes.
"""

import sys
from pathlib import Path

import numpy as np

import medseg
from medseg.geometry import reorient
from medseg.volume import Volume

MARGIN_MM = 9.0


def remove_face(head: Volume, brain: Volume) -> Volume:
    """Zero what lies in front of the brain."""
    turned, undo = reorient(head, "RAS")
    inside = reorient(brain, "RAS")[0].array > 0
    foremost = np.where(
        inside.any(axis=(0, 1)),
        inside.shape[1] - 1 - np.argmax(inside.any(axis=0)[::-1], axis=0),
        -1,
    )  # per slice k: the largest j of the brain
    slices = np.flatnonzero(foremost >= 0)
    limit = foremost.copy()
    limit[: slices[0]] = foremost[slices[0]]  # below the brain
    limit[slices[-1] + 1 :] = inside.shape[1]  # above it there is no face
    top = int(slices[np.argmax(foremost[slices])])  # the frontal pole; above it is forehead and hair line
    limit[top:] = inside.shape[1]
    array = turned.array.copy()
    margin = round(MARGIN_MM / turned.spacing_mm[1])
    for k, front in enumerate(limit):
        array[:, front + 1 + margin :, k] = 0
    return undo(turned.with_array(array))


if __name__ == "__main__":
    source, labels, target = map(Path, sys.argv[1:])
    head = medseg.load(source)
    defaced = remove_face(head, medseg.load(labels, kind="labels"))
    medseg.save(defaced, target)
    changed = defaced.array != head.array
    print(f"{changed.sum():,} voxels set to 0, {changed.mean():.1%} of the volume")

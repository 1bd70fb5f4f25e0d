"""A step after the network: what hangs on the main body by thin bridges is left out."""

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.builtin.steps import StepCall, largest_piece
from medseg.errors import OptionError
from medseg.geometry import Undo
from medseg.volume import Volume


def main_body(*, bridge_mm: float = 4.0) -> StepCall:
    """Keep, of all labels together, the largest piece, cut off from others where bridges are thin.

    As in skull stripping by erosion and reconstruction: the foreground is worn away by half of
    ``bridge_mm`` from its surface; each voxel of it then belongs to what is left nearest to it, and those
    of the largest of these stay. Beyond the volume's border the foreground is taken to go on.

    Args:
        bridge_mm: the thickness up to which a bridge is cut.
    """
    if not bridge_mm > 0:
        raise OptionError(f"main-body: wanted bridge_mm above 0, got {bridge_mm}")

    def step(labels: Volume) -> tuple[Volume, Undo]:
        if labels.kind != "labels":
            raise OptionError("this step works on label maps; it got an image")
        foreground = labels.array != 0
        found = ndimage.find_objects(foreground.astype(np.uint8))
        if not found:
            return labels, lambda processed: processed
        # One voxel wider, so that the background around is seen.
        box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in found[0])
        kept = np.zeros_like(foreground)
        kept[box] = _main(foreground[box], labels.spacing_mm, bridge_mm)
        return labels.with_array(np.where(kept, labels.array, 0)), lambda processed: processed

    return step


def _main(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...], bridge_mm: float) -> NDArray[np.bool_]:
    cores = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing_mm) > bridge_mm / 2
    core = largest_piece(cores)
    others = cores & ~core
    if others.any():
        mask = mask & (_distance(core, spacing_mm) <= _distance(others, spacing_mm))
    return largest_piece(mask)


def _distance(to: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(edt.edt(~to, anisotropy=spacing_mm))

"""From logits on the network's grid to labels on the grid that they are wanted on."""

import numpy as np
from torch import Tensor

from medseg.geometry import Undo
from medseg.volume import Grid, Volume, Voxels, smallest_integer_type


def label_map(logits: Tensor, grid: Grid, bring_back: Undo, values: tuple[int, ...]) -> Volume:
    """Interpolate each class's logits back to the wanted grid and take the largest.

    Classes are brought back one at a time, so no more than three maps of the wanted grid are held
    however many classes there are. For two classes the difference of their logits is enough:
    linear interpolation of a difference is the difference of the interpolations.

    Args:
        logits: (K,*S) for K classes; K = 1 means one sigmoid class against the background.
        grid: of the logits.
        bring_back: the undo of the resampling that made ``grid``.
        values: label of each class, in the order of the channels; background first.

    Returns:
        Labels on the wanted grid.
    """
    kind = smallest_integer_type(max(values))

    def brought_back(scores: Tensor) -> Volume:
        return bring_back(Volume(scores.float().cpu().numpy(), grid.affine))

    if len(values) == 2:
        lead = brought_back(logits[-1] - logits[0] if len(logits) == 2 else logits[0])
        # Strictly above: on a tie the first class wins, as in argmax.
        return lead.with_array(np.where(lead.array > 0, kind(values[1]), kind(values[0])), kind="labels")
    best = brought_back(logits[0])
    top: Voxels = best.array.copy()
    labels: Voxels = np.full(best.shape, values[0], kind)
    for value, scores in zip(values[1:], logits[1:], strict=True):
        rival = brought_back(scores).array
        ahead = rival > top
        labels[ahead] = value
        np.copyto(top, rival, where=ahead)
    return best.with_array(labels, kind="labels")

"""From logits on the network's grid to labels on the grid that they are wanted on, slab by slab.

Neither the stack of all classes on the wanted grid nor that on the network's grid is ever held: what
is in memory at once is one slab, a few rows of it at the wanted size, and the labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medseg.geometry import centred_positions
from medseg.inference.attention import GateMaps
from medseg.inference.probabilities import ProbabilityMaps
from medseg.inference.slab import Slab
from medseg.inference.upsampling import Positions, Scores, classify, last_region
from medseg.storage import empty, let_go
from medseg.volume import Grid, Volume, smallest_integer_type

_PIECE_VALUES = 4_000_000  # scores, and wanted voxels, that are worked on at once: some 100 MB in all


def label_map(
    slabs: Iterable[Slab],
    grid: Grid,
    home: Grid,
    values: Sequence[int],
    *,
    regions: bool = False,
    nearest_axis: int | None = None,
    maps: ProbabilityMaps | GateMaps | None = None,
) -> Volume:
    """Interpolate the logits linearly to the wanted grid and take the largest.

    Equal to interpolating every class in full and taking argmax; on a tie the first class wins.

    Args:
        slabs: logits (K,*S) of three axes, rows in order; K = 1 means one sigmoid class against the
            background, and of two classes the difference is enough.
        grid: of the logits.
        home: the grid that the labels are wanted on: parallel to ``grid`` and about the same centre,
            as ``resample`` and ``fit`` make them.
        values: label of each class, in the order of the channels; background first.
        regions: each channel is a region of its own above 0, the first of them that of ``values[1]``;
            the last that holds is the label.
        nearest_axis: the axis along which the nearest logits are taken instead.
        maps: takes the probabilities too, on the wanted grid.

    Returns:
        Labels on the wanted grid, on the disk while ``storage.spilling``.
    """
    kind = np.dtype(smallest_integer_type(max(values)))
    table = np.asarray(values, kind)
    positions = centred_positions(home.shape, grid.shape, np.divide(home.spacing_mm, grid.spacing_mm))
    inside = [np.clip(p, 0, n - 1) for p, n in zip(positions, grid.shape, strict=True)]
    if nearest_axis is not None:
        inside[nearest_axis] = np.floor(inside[nearest_axis] + 0.5).clip(0, grid.shape[nearest_axis] - 1)
    labels = empty(home.shape, kind)
    done = 0
    for axis, start, scores in _pieces(slabs, _rows_at_once(inside, grid, len(values)), regions=regions):
        along, across = inside[axis], [p for n, p in enumerate(inside) if n != axis]
        # A row between two pieces needs both, so a piece begins with the last row of the one before.
        end = int(np.searchsorted(along, start + scores.shape[1] - 1, side="right"))
        wanted: Positions = (along[done:end] - start, across[0], across[1])
        found = last_region(scores, wanted) if regions else classify(scores, wanted)
        np.moveaxis(labels, axis, 0)[done:end] = table[found]
        let_go(labels)
        if maps:
            maps.take(scores, wanted, axis, done)
        done = end
    return Volume(labels, home.affine, kind="labels")


def _pieces(slabs: Iterable[Slab], rows: int, *, regions: bool) -> Iterator[tuple[int, int, Scores]]:
    """Slabs cut into pieces of a few rows, each with the row before it: axis, first row, scores."""
    before: NDArray[Any] | None = None
    for slab in slabs:
        along = slab.axis + 1
        for cut in range(0, slab.logits.shape[along], rows):
            logits = slab.logits.narrow(along, cut, min(rows, slab.logits.shape[along] - cut))
            piece = _decisive(logits, slab.axis, regions=regions)
            start = slab.start + cut
            if before is not None:
                piece, start = np.concatenate([before, piece], axis=1), start - 1
            before = piece[:, -1:].copy()
            yield slab.axis, start, piece


def _decisive(logits: Tensor, axis: int, *, regions: bool) -> Scores:
    """The slabs' axis first; of two classes only the lead of the second, whose sign decides."""
    logits = logits.float()
    if len(logits) == 2 and not regions:
        logits = logits[1:] - logits[:1]
    return np.moveaxis(logits.cpu().numpy(), axis + 1, 1)


def _rows_at_once(inside: Sequence[NDArray[np.float64]], grid: Grid, classes: int) -> int:
    """Rows of the network's grid, along whichever axis, whose scores and wanted voxels stay few."""
    scores = max(np.prod(grid.shape) / n for n in grid.shape) * classes
    wanted = np.prod([len(p) for p in inside]) / min(grid.shape)
    return max(1, int(_PIECE_VALUES / max(scores, wanted)))

"""Finished rows of a network's scores: the unit in which they leave the engine."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Slab:
    """Logits of some neighbouring rows along one spatial axis, on the whole of the others.

    Args:
        logits: (K,*S) float32; its memory is used again once the next slab is asked for.
        axis: the spatial axis along which slabs follow each other without gap or overlap.
        start: index of the first row on that axis.
    """

    logits: Tensor
    axis: int
    start: int

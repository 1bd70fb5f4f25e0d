"""A table of the single pieces of each label: found, missed, or false alarms."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medseg.comparison.pair import Pair
from medseg.comparison.pieces import Connectivity


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One piece of a label.

    Args:
        case, model: where it is.
        label, name: of what it is a piece.
        side: the map that has it.
        number: from 1, in its map.
        state: a true piece is ``found`` if it shares a voxel with a predicted one, else ``missed``; a
            predicted one is ``right`` or a ``false alarm``.
        volume_ml: its size.
        centre_mm: its centre of mass, RAS+.
        partner: number of the piece of the other map that it shares most with; None if none.
        partners: how many it shares voxels with: a true piece that is split has several.
        overlap_ml: what it shares with all of them.
        iou: with its partner; 0 without.
        dice: with its partner; 0 without.
    """

    case: str
    model: str
    label: int
    name: str
    side: Literal["truth", "prediction"]
    number: int
    state: Literal["found", "missed", "right", "false alarm"]
    volume_ml: float
    centre_mm: tuple[float, float, float]
    partner: int | None
    partners: int
    overlap_ml: float
    iou: float
    dice: float


def list_lesions(
    pair: Pair,
    label: int,
    name: str,
    *,
    connectivity: Connectivity = "corners",
    smallest_ml: float = 0.0,
    case: str = "",
    model: str = "",
) -> list[Lesion]:
    """All pieces of a label: those of the truth, then those of the prediction.

    Args:
        pair: the two maps.
        label, name: of what.
        connectivity, smallest_ml: as in ``LesionF1``.
        case, model: for the rows.
    """
    pieces = pair.pieces(label, connectivity, smallest_ml)
    shared = pieces.overlap[1:, 1:]
    rows: list[Lesion] = []
    sides: tuple[tuple[Literal["truth", "prediction"], NDArray[np.integer], NDArray[np.int64]], ...] = (
        ("truth", pieces.truth, shared),
        ("prediction", pieces.predicted, shared.T),
    )
    for side, numbers, overlap in sides:
        sizes = pieces.true_voxels if side == "truth" else pieces.predicted_voxels
        iou = pieces.iou if side == "truth" else pieces.iou.T
        centres = _centres_mm(pair, label, numbers, len(sizes))
        for n, voxels in enumerate(sizes):
            partners = np.flatnonzero(overlap[n])
            best = int(overlap[n].argmax()) if len(partners) else None
            with_best = float(iou[n, best]) if best is not None else 0.0
            rows.append(
                Lesion(
                    case=case,
                    model=model,
                    label=label,
                    name=name,
                    side=side,
                    number=n + 1,
                    state=_STATES[side, bool(len(partners))],
                    volume_ml=float(voxels) * pair.voxel_ml,
                    centre_mm=centres[n],
                    partner=None if best is None else best + 1,
                    partners=len(partners),
                    overlap_ml=float(overlap[n].sum()) * pair.voxel_ml,
                    iou=with_best,
                    dice=2 * with_best / (1 + with_best),
                )
            )
    return rows


_STATES: dict[tuple[str, bool], Literal["found", "missed", "right", "false alarm"]] = {
    ("truth", True): "found",
    ("truth", False): "missed",
    ("prediction", True): "right",
    ("prediction", False): "false alarm",
}


def _centres_mm(
    pair: Pair, label: int, numbers: NDArray[np.integer], count: int
) -> list[tuple[float, float, float]]:
    """Centre of mass of each numbered piece, RAS+ mm."""
    flat, shape = numbers.ravel(), numbers.shape
    inside = np.flatnonzero(flat)
    which = flat[inside]
    sizes = np.bincount(which, minlength=count + 1)[1:]
    starts = [side.start for side in pair.box(label)]
    means = [
        np.bincount(which, axis, count + 1)[1:] / sizes + start
        for axis, start in zip(np.unravel_index(inside, shape), starts, strict=True)
    ]
    return pair.to_mm(np.stack(means, axis=1)) if count else []

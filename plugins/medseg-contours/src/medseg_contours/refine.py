"""A contour brings a mask to the border that the image shows: from any mask, drawing or probability map."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import ContractError, OptionError
from medseg.volume import Volume, smallest_integer_type
from medseg_contours.distance import signed_distance
from medseg_contours.evolution import Evolution, evolve
from medseg_contours.regions import Region, standardise
from medseg_contours.tdac import weights_of_probability

OnIteration = Callable[[int, Volume], None]
Appearance = Literal["likeness", "intensity"]
CORE_MM = 10.0  # deeper than a mask is usually wrong
Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class _Start:
    """Where the contours begin: labels (K,), phi (K,*S) in mm, and the probability if it is known."""

    labels: tuple[int, ...]
    phi: NDArray[np.float32]
    probability: NDArray[np.float32] | None


def refine(
    image: Volume,
    initial: Volume,
    *,
    iterations: int = 20,
    mu: float = 1.0,
    nu: float = 0.3,
    hold: float = 0.6,
    region: Region = "global",
    window_mm: float = 12.0,
    pool: float = 0.2,
    appearance: Appearance = "likeness",
    trust: bool = False,
    reach_mm: float = 0.0,
    device: str = "cpu",
    every: int = 5,
    on_iteration: OnIteration | None = None,
) -> Volume:
    """Move the border of each label to where the image changes.

    Each label has its own contour; a voxel that several claim goes to the one it lies deepest in.

    Args:
        image: what the labels were drawn on.
        initial: a label map, or a probability map in [0, 1] whose contour lies at 1/2.
        iterations: each moves the contour by half a voxel at most.
        mu: >= 0; more makes the border smoother.
        nu: above 0 the contour shrinks, below 0 it grows.
        hold: >= 0; where the image pulls no harder than this, the border stays.
        region: means of a box around each voxel, or of the whole neighbourhood.
        window_mm: half the width of the box.
        pool: the image's pull is averaged along the border over a box; half its width, as a part of the
            radius of a ball as large as the label. 0: each point follows its own.
        appearance: ``intensity`` compares the image's values; ``likeness`` how like those in the core of
            the mask they are, so that what is brighter and what is darker are both outside.
        trust: weigh the regions by the probability, as DALS does; a label map is smoothed for it.
        reach_mm: no voxel further than this from the first contour changes; 0: no limit.
        device: ``cpu`` or ``cuda``.
        every: iterations between two calls of ``on_iteration``.
        on_iteration: called with the number of iterations done and the labels then.

    Returns:
        Labels on the grid of ``initial``, with its label values (1 for a probability map).

    Raises:
        ContractError: the two volumes do not lie on one grid, or ``initial`` is an image beyond [0, 1].
        OptionError: a number out of range.
    """
    if iterations < 0 or every < 1 or reach_mm < 0 or pool < 0:
        raise OptionError(
            "refine wants iterations >= 0, every >= 1, reach_mm >= 0 and pool >= 0; got "
            f"{iterations}, {every}, {reach_mm} and {pool}"
        )
    if not image.grid.matches(initial.grid):
        raise ContractError(
            f"the image has {image.grid!r}, the mask to refine {initial.grid!r}: resample one onto the other"
        )
    inside = _inside(initial)
    if not inside.any():
        return replace(initial, array=np.zeros(initial.shape, np.uint8), kind="labels")
    # Beyond the box nothing can move: a contour gets half a voxel further with each iteration.
    travel_mm = min(iterations * min(initial.spacing_mm) / 2, reach_mm or np.inf)
    box = _box(inside, initial.spacing_mm, travel_mm + 2 * window_mm)
    start = _start(initial, box, trust=trust)
    evolution = Evolution(
        mu=mu,
        nu=nu,
        hold=hold,
        region=region,
        window_mm=window_mm,
        pool_mm=tuple(pool * r for r in _radii_mm(start.phi, initial.voxel_ml)) if pool else 0.0,
    )
    # Each label is a sample of a batch, for each has an image of its own to compare.
    values = torch.from_numpy(_seen(image.array[box], start.phi, appearance))[:, None].to(device)
    first = torch.from_numpy(start.phi)[:, None].to(device)
    lambda1: torch.Tensor | float = 1.0
    lambda2: torch.Tensor | float = 1.0
    if start.probability is not None:
        lambda1, lambda2 = weights_of_probability(torch.from_numpy(start.probability)[:, None].to(device))

    def labelled(phi: torch.Tensor) -> Volume:
        if reach_mm:
            phi = torch.where(first.abs() > reach_mm, first, phi)
        return _labels(phi[:, 0].cpu().numpy(), start.labels, box, initial)

    def report(done: int, phi: torch.Tensor) -> None:
        if on_iteration is not None and (done % every == 0 or done == iterations):
            on_iteration(done, labelled(phi))

    with torch.inference_mode():
        phi = evolve(
            first,
            standardise(values),
            torch.tensor(initial.spacing_mm),
            evolution=evolution,
            iterations=iterations,
            lambda1=lambda1,
            lambda2=lambda2,
            on_iteration=report if on_iteration is not None else None,
        )
    return labelled(phi)


def start_from_scribbles(scribbles: Volume, *, background: int) -> Volume:
    """A first contour from strokes: each voxel gets the label of the nearest one.

    Args:
        scribbles: a label map; 0 where nothing was drawn.
        background: the label of strokes that mark the outside.

    Returns:
        A label map to refine, on the same grid.

    Raises:
        ContractError: an image, or strokes of fewer than two labels.
    """
    drawn = set(np.unique(scribbles.array).tolist()) - {0}
    if scribbles.kind != "labels" or background not in drawn or len(drawn) < 2:
        raise ContractError(
            f"scribbles are a label map with strokes outside (label {background}) and inside; got "
            f"{scribbles.kind} with the labels {sorted(drawn)[:10]}"
        )
    nearest = ndimage.distance_transform_edt(
        scribbles.array == 0, sampling=scribbles.spacing_mm, return_distances=False, return_indices=True
    )
    labels = scribbles.array[tuple(nearest)]
    return scribbles.with_array(np.where(labels == background, 0, labels).astype(labels.dtype))


def _inside(initial: Volume) -> NDArray[np.bool_]:
    if initial.kind == "labels":
        return np.asarray(initial.array > 0)
    least, most = float(initial.array.min()), float(initial.array.max())
    if not (least >= 0 and most <= 1):
        raise ContractError(
            f"a probability map lies in 0..1; this image lies in {least:.4g}..{most:.4g}. If it holds "
            "labels, load it with kind='labels'"
        )
    return np.asarray(initial.array > 0.5)


def _box(inside: NDArray[np.bool_], spacing_mm: Sequence[float], margin_mm: float) -> Box:
    found: Box = ndimage.find_objects(inside.astype(np.uint8))[0]
    margins = [int(np.ceil(margin_mm / h)) + 3 for h in spacing_mm]
    return tuple(
        slice(max(s.start - m, 0), min(s.stop + m, n))
        for s, m, n in zip(found, margins, inside.shape, strict=True)
    )


def _start(initial: Volume, box: Box, *, trust: bool) -> _Start:
    array = initial.array[box]
    if initial.kind == "labels":
        labels = tuple(int(v) for v in np.unique(array) if v)
        masks = [array == label for label in labels]
        soft = [ndimage.gaussian_filter(m.astype(np.float32), 1.5) for m in masks] if trust else []
    else:
        labels, masks = (1,), [array > 0.5]
        soft = [array.astype(np.float32)] if trust else []
    phi = np.stack([signed_distance(mask, initial.spacing_mm) for mask in masks])
    return _Start(labels, phi, np.stack(soft) if trust else None)


def _radii_mm(phi: NDArray[np.float32], voxel_ml: float) -> list[float]:
    """Of balls as large as the insides of phi (K,*S)."""
    volumes = (phi > 0).sum(axis=tuple(range(1, phi.ndim))) * voxel_ml * 1000
    return [float(r) for r in np.cbrt(3 * volumes / (4 * np.pi))]


def _seen(
    values: NDArray[np.generic], phi: NDArray[np.float32], appearance: Appearance
) -> NDArray[np.float32]:
    """What each contour looks at, (K,*S): the values, or a Gaussian around the median of its core."""
    plain = values.astype(np.float32)
    if appearance == "intensity":
        return np.broadcast_to(plain, phi.shape).copy()
    maps = []
    for depth in phi:
        core = plain[depth >= min(CORE_MM, float(depth.max()) / 2)]
        middle = np.median(core)
        # 1.4826 MAD is a Gaussian's deviation; a flat core still allows for some noise.
        deviation = max(1.4826 * float(np.median(np.abs(core - middle))), 0.1 * float(plain.std()), 1e-12)
        maps.append(np.exp(-(((plain - middle) / (2 * deviation)) ** 2) / 2))
    return np.stack(maps).astype(np.float32)


def _labels(phi: NDArray[np.float32], labels: tuple[int, ...], box: Box, initial: Volume) -> Volume:
    kind = initial.array.dtype if initial.kind == "labels" else smallest_integer_type(1)
    result = np.zeros(initial.shape, kind)
    values = np.array(labels, kind)
    result[box] = np.where(phi.max(axis=0) > 0, values[phi.argmax(axis=0)], 0)
    return replace(initial, array=result, kind="labels")

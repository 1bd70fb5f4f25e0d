"""A contour brings a mask to the border that the image shows: from any mask, drawing or probability map."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import morphology
from torch import Tensor

from medseg.errors import ContractError, OptionError
from medseg.volume import Volume, smallest_integer_type
from medseg_contours.distance import signed_distance
from medseg_contours.evolution import Evolution, evolve
from medseg_contours.regions import Region, standardise
from medseg_contours.tdac import weights_of_probability

reconstruction: Any = morphology.reconstruction  # has no types
OnIteration = Callable[[int, Volume], None]
Appearance = Literal["likeness", "intensity"]
BRIDGE_MM = 2.0  # half the width of what joins two things that are not one, such as a vessel through bone
CORE_MM = 10.0  # deeper than a mask is usually wrong
Box = tuple[slice, ...]


@dataclass(eq=False)
class _Front:
    """One label's contour as it moves, in a box of its own; lengths are in smallest voxel sides."""

    label: int
    box: Box
    phi: Tensor  # (1,1,*S)
    first: Tensor
    image: Tensor
    lambda1: Tensor | float
    lambda2: Tensor | float
    bounds: tuple[Tensor, Tensor] | None
    evolution: Evolution


def refine(
    image: Volume,
    initial: Volume,
    *,
    iterations: int = 20,
    mu: float = 1.0,
    nu: float = 0.0,
    hold: float = 1.2,
    region: Region = "global",
    window_mm: float = 12.0,
    pool: float = 0.2,
    appearance: Appearance = "likeness",
    trust: bool = False,
    reach_mm: float = 0.0,
    device: str = "cpu",
    fixed: Volume | None = None,
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
            the mask they are, so that what is brighter and what is darker are both outside, and so is what
            is as bright but not joined to the core.
        trust: weigh the regions by the probability, as DALS does; a label map is smoothed for it.
        reach_mm: no voxel further than this from the first contour changes; 0: no limit.
        device: ``cpu`` or ``cuda``.
        fixed: a mask on the same grid: where it is set, a voxel keeps the label that it has in ``initial``.
        every: iterations between two calls of ``on_iteration``.
        on_iteration: called with the number of iterations done and the labels then.

    Returns:
        Labels on the grid of ``initial``, with its label values (1 for a probability map).

    Raises:
        ContractError: the two volumes do not lie on one grid, or ``initial`` is an image beyond [0, 1].
        OptionError: a number out of range.
    """
    settings = _Settings(
        iterations=iterations,
        mu=mu,
        nu=nu,
        hold=hold,
        region=region,
        window_mm=window_mm,
        pool=pool,
        appearance=appearance,
        trust=trust,
        reach_mm=reach_mm,
        device=device,
    )
    if every < 1:
        raise OptionError(f"refine wants every >= 1; got {every}")
    fronts = _fronts(image, initial, settings, fixed)
    for done in _move(fronts, initial.spacing_mm, settings, every=every if on_iteration else iterations):
        if on_iteration:
            on_iteration(done, _labels(fronts, initial, settings))
    return _labels(fronts, initial, settings)


def refine_contour(image: Volume, initial: Volume, **options: Any) -> Volume:
    """As ``refine``, with the contour itself instead of the voxels inside it.

    Where two contours of one object on two grids are compared, phi is resampled and then cut at 0: a mask
    of the coarser grid would lose more than the two differ.

    Args:
        image, initial: see ``refine``.
        **options: those of ``refine`` but for the callback.

    Returns:
        phi as an image, above 0 inside any label and 0 at the contour; steeper than a distance where the
        image pulls.

    Raises:
        ContractError, OptionError: see ``refine``.
    """
    settings = _Settings(**options)
    fronts = _fronts(image, initial, settings)
    for _ in _move(fronts, initial.spacing_mm, settings, every=settings.iterations):
        pass
    unit = min(initial.spacing_mm)
    far = -float(np.linalg.norm(np.multiply(initial.shape, initial.spacing_mm)))
    deepest = np.full(initial.shape, far, np.float32)
    for front in fronts:
        phi = _ended(front, settings, unit) * unit
        deepest[front.box] = np.maximum(deepest[front.box], phi)
    return replace(initial, array=deepest, kind="image")


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What ``refine`` takes."""

    iterations: int = 20
    mu: float = 1.0
    nu: float = 0.0
    hold: float = 1.2
    region: Region = "global"
    window_mm: float = 12.0
    pool: float = 0.2
    appearance: Appearance = "likeness"
    trust: bool = False
    reach_mm: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.reach_mm < 0 or self.pool < 0:
            raise OptionError(
                "refine wants iterations >= 0, reach_mm >= 0 and pool >= 0; got "
                f"{self.iterations}, {self.reach_mm} and {self.pool}"
            )


def _fronts(image: Volume, initial: Volume, settings: _Settings, fixed: Volume | None = None) -> list[_Front]:
    """A contour for each label, each in the box beyond which nothing can move."""
    if not image.grid.matches(initial.grid):
        raise ContractError(
            f"the image has {image.grid!r}, the mask to refine {initial.grid!r}: resample one onto the other"
        )
    if fixed is not None and not fixed.grid.matches(initial.grid):
        raise ContractError(
            f"the mask of fixed voxels has {fixed.grid!r}, the mask to refine {initial.grid!r}: resample it"
        )
    inside = _inside(initial)
    unit = min(initial.spacing_mm)
    travel_mm = min(settings.iterations * unit / 2, settings.reach_mm or np.inf)
    labels = np.unique(initial.array[inside]) if initial.kind == "labels" else ([1] if inside.any() else [])
    fronts = []
    for label in labels:
        whole = initial.array == label if initial.kind == "labels" else inside
        box = _box(whole, initial.spacing_mm, travel_mm + 2 * settings.window_mm)
        mask = whole[box]
        depth = signed_distance(mask, initial.spacing_mm)
        lambda1: Tensor | float = 1.0
        lambda2: Tensor | float = 1.0
        if settings.trust:
            soft = (
                initial.array[box].astype(np.float32) if initial.kind == "image" else _blurred(mask, initial)
            )
            lambda1, lambda2 = weights_of_probability(torch.from_numpy(soft)[None, None].to(settings.device))
        seen = torch.from_numpy(_seen(image.array[box], depth, settings.appearance, image.spacing_mm))[
            None, None
        ]
        phi = torch.from_numpy(depth / unit)[None, None].to(settings.device)
        radius_mm = float(np.cbrt(3 * mask.sum() * initial.voxel_ml * 1000 / (4 * np.pi)))
        fronts.append(
            _Front(
                label=int(label),
                box=box,
                phi=phi,
                first=phi,
                image=standardise(seen.to(settings.device)),
                lambda1=lambda1,
                lambda2=lambda2,
                bounds=_bounds(mask, fixed.array[box] != 0, settings.device) if fixed is not None else None,
                evolution=Evolution(
                    mu=settings.mu,
                    nu=settings.nu,
                    hold=settings.hold,
                    region=settings.region,
                    window_mm=settings.window_mm / unit,
                    pool_mm=settings.pool * radius_mm / unit,
                ),
            )
        )
    return fronts


def _bounds(mask: NDArray[np.bool_], held: NDArray[np.bool_], device: str) -> tuple[Tensor, Tensor]:
    """The least and the largest phi (1,1,*S) in units where voxels stay on their side; no limit elsewhere."""
    least = np.where(held & mask, 0.5, -np.inf).astype(np.float32)
    most = np.where(held & ~mask, -0.5, np.inf).astype(np.float32)
    lower, upper = (torch.from_numpy(limit)[None, None].to(device) for limit in (least, most))
    return lower, upper


def _move(
    fronts: Sequence[_Front], spacing_mm: Sequence[float], settings: _Settings, *, every: int
) -> Iterator[int]:
    """Move all fronts, some iterations at a time; yields how many are done."""
    steps = torch.tensor(spacing_mm) / min(spacing_mm)
    for begin in range(0, settings.iterations, max(every, 1)):
        end = min(begin + every, settings.iterations)
        for front in fronts:
            with torch.inference_mode():
                front.phi = evolve(
                    front.phi,
                    front.image,
                    steps,
                    evolution=front.evolution,
                    iterations=end - begin,
                    done=begin,
                    lambda1=front.lambda1,
                    lambda2=front.lambda2,
                    bounds=front.bounds,
                )
        yield end


def _labels(fronts: Sequence[_Front], initial: Volume, settings: _Settings) -> Volume:
    kind = initial.array.dtype if initial.kind == "labels" else smallest_integer_type(1)
    result = np.zeros(initial.shape, kind)
    deepest = np.zeros(initial.shape, np.float32)
    for front in fronts:
        phi = _ended(front, settings, min(initial.spacing_mm))
        mine = phi > deepest[front.box]
        result[front.box][mine] = front.label
        deepest[front.box][mine] = phi[mine]
    return replace(initial, array=result, kind="labels")


def _ended(front: _Front, settings: _Settings, unit: float) -> NDArray[np.float32]:
    """Phi (*S) in units, as it was first beyond the reach."""
    phi = front.phi
    if settings.reach_mm:
        phi = torch.where(front.first.abs() * unit > settings.reach_mm, front.first, phi)
    array: NDArray[np.float32] = phi[0, 0].cpu().numpy()
    return array


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


def _blurred(mask: NDArray[np.bool_], initial: Volume) -> NDArray[np.float32]:
    """A probability for a mask that has none: blurred by one and a half of the smallest voxel sides."""
    sigma = [1.5 * min(initial.spacing_mm) / h for h in initial.spacing_mm]
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    return blurred


def _seen(
    values: NDArray[np.generic],
    depth: NDArray[np.float32],
    appearance: Appearance,
    spacing_mm: Sequence[float],
) -> NDArray[np.float32]:
    """What a contour looks at, (*S): the values, or how like the core they are and joined to it.

    The likeness is a Gaussian around the median of the core. Of it counts what a path from the core reaches
    that is as like all the way and no thinner than a bridge: the scalp is as bright as the brain, and the
    bone lies between. L. Vincent: Morphological grayscale reconstruction in image analysis. IEEE TIP 2, 1993.
    """
    plain = values.astype(np.float32)
    if appearance == "intensity":
        return plain
    deepest = float(depth.max())
    core = depth >= min(CORE_MM, deepest / 2)
    middle = np.median(plain[core])
    # 1.4826 MAD is a Gaussian's deviation; a flat core still allows for some noise.
    spread = 1.4826 * float(np.median(np.abs(plain[core] - middle)))
    deviation = max(spread, 0.1 * float(plain.std()), 1e-12)
    likeness = np.exp(-(((plain - middle) / (2 * deviation)) ** 2) / 2)
    bridge_mm = min(BRIDGE_MM, deepest / 10)  # an object's own corners are not to be taken for bridges
    size = [2 * round(bridge_mm / h) + 1 for h in spacing_mm]
    narrowed = ndimage.grey_erosion(likeness, size=size)
    joined = reconstruction(np.where(core, narrowed, 0), narrowed, method="dilation")
    result: NDArray[np.float32] = np.minimum(likeness, ndimage.grey_dilation(joined, size=size))
    return result.astype(np.float32)

"""The contour as a user chooses it by name: a step on a label map, and a method without weights."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from medseg.geometry import Undo, within_balls
from medseg.volume import Volume
from medseg_contours.drawing import start_from_outlines, start_from_scribbles
from medseg_contours.refine import Appearance, refine
from medseg_contours.regions import Region


class StepThatShows(Protocol):
    """A step that shows labels on the way, if there is somebody to show them to, and heeds what is fixed."""

    def __call__(
        self,
        labels: Volume,
        image: Volume,
        *,
        on_labels: Callable[[int, Volume], None] | None = None,
        fixed: Volume | None = None,
    ) -> tuple[Volume, Undo]:
        """See ``medseg.plugin.Step``."""
        ...  # pragma: no cover


def make_step(
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
    every: int = 5,
) -> StepThatShows:
    """``refine`` as a step; see there.

    Args:
        iterations, mu, nu, hold, region, window_mm, pool, appearance, trust, reach_mm, device, every:
            see ``refine``.
    """
    move = partial(
        refine,
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
        every=every,
    )

    def step(
        labels: Volume,
        image: Volume,
        *,
        on_labels: Callable[[int, Volume], None] | None = None,
        fixed: Volume | None = None,
    ) -> tuple[Volume, Undo]:
        return move(image, labels, on_iteration=on_labels, fixed=fixed), _keep

    return step


def make_fill_scribbles(*, background: int = 0) -> Callable[[Volume], tuple[Volume, Undo]]:
    """``start_from_scribbles`` as a step; see there.

    Args:
        background: the label of strokes outside; 0: the largest.
    """

    def step(labels: Volume) -> tuple[Volume, Undo]:
        if not labels.array.any():
            return labels, _keep
        return start_from_scribbles(labels, background=background or int(labels.array.max())), _keep

    return step


def make_fill_outlines() -> Callable[[Volume], tuple[Volume, Undo]]:
    """``start_from_outlines`` as a step; see there."""

    def step(labels: Volume) -> tuple[Volume, Undo]:
        return (start_from_outlines(labels) if labels.array.any() else labels), _keep

    return step


def make_chan_vese(
    *,
    inside: tuple[float, ...] = (),
    radius_mm: float = 10.0,
    iterations: int = 200,
    mu: float = 0.5,
    nu: float = 0.0,
    region: Region = "global",
    window_mm: float = 12.0,
    device: str = "cpu",
) -> Callable[[Volume], Volume]:
    """A Chan-Vese contour on voxels of any size.

    Args:
        inside: x, y, z of points in the object, RAS+ mm; none: begin with balls all over the image.
        radius_mm: of the ball around each.
        iterations, mu, nu, region, window_mm, device: see ``refine``.
    """

    def segment(image: Volume) -> Volume:
        start = within_balls(image.grid, inside, radius_mm) if inside else _bubbles(image, radius_mm)
        return refine(
            image,
            image.with_array(start.astype(np.uint8), kind="labels"),
            iterations=iterations,
            mu=mu,
            nu=nu,
            hold=0.0,
            region=region,
            window_mm=window_mm,
            pool=0.0,
            appearance="intensity",
            trust=False,
            reach_mm=0.0,
            device=device,
        )

    return segment


def _bubbles(image: Volume, radius_mm: float) -> np.typing.NDArray[np.bool_]:
    """Where a product of sines is positive: a checkerboard of round cells, as scikit-image begins."""
    waves = [
        np.sin(np.pi * (np.arange(n) + 0.5) * h / (2 * radius_mm))
        for n, h in zip(image.shape, image.spacing_mm, strict=True)
    ]
    return np.asarray(np.einsum("i,j,k->ijk", *waves) > 0)


def _keep(processed: Volume) -> Volume:
    return processed

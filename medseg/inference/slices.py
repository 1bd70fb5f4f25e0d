"""Run a 2-D network over a volume, slice by slice along one axis.

In 2.5-D the neighbouring slices are further input channels, nearest below to nearest above, for
each channel of the image in turn; beyond the first and the last slice the edge slice is repeated.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from medseg.inference.body import Body
from medseg.inference.slab import Slab
from medseg.inference.windows import Network, slide
from medseg.plugin import Slices, Windows
from medseg.progress import CancelToken


def slide_slices(
    network: Network,
    image: Tensor,
    slices: Slices,
    *,
    device: torch.device | None = None,
    on_window: Callable[[int, int], None] | None = None,
    body: Body | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Slab]:
    """Logits of every slice, each a slab of one row.

    Args:
        network: (1, C*(2n+1), H, W) -> logits (1, K, H, W) for n neighbours on each side.
        image: (C, I, J, K).
        slices: axis, neighbours, and the windows within a slice.
        device: of the network; the image's, if None.
        on_window: called with (done, total) after each slice.
        body: slices without any of it are background; the first is computed nevertheless.
        cancel: checked before each window.

    Yields:
        Slabs (K, I, J, K) float32 with one row on the slices' axis, on the network's device.
    """
    along = slices.axis + 1
    windows = Windows(
        size=slices.size, overlap=slices.overlap, blend=slices.blend, placement=slices.placement
    )
    count = image.shape[along]
    sizes = [1 if axis == slices.axis else n for axis, n in enumerate(image.shape[1:])]
    nothing: Tensor | None = None
    for n in range(count):
        if cancel:
            cancel.check()
        place = [n if axis == slices.axis else 0 for axis in range(3)]
        if body is not None and nothing is not None and not body.is_in(place, sizes):
            scores = nothing
            body.skipped += 1
        else:
            plane = with_neighbours(image, n, axis=slices.axis, neighbours=slices.neighbours)
            scores = slide(network, plane.to(device) if device else plane, windows, cancel=cancel)
            if body is not None and nothing is None:
                nothing = body.background(scores)
        if on_window:
            on_window(n + 1, count)
        yield Slab(logits=scores.unsqueeze(along), axis=slices.axis, start=n)


def with_neighbours(image: Tensor, n: int, *, axis: int, neighbours: int) -> Tensor:
    """Slice n of (C, I, J, K) with its neighbours as channels: (C*(2*neighbours+1), H, W)."""
    last = image.shape[axis + 1] - 1
    wanted = torch.arange(n - neighbours, n + neighbours + 1, device=image.device).clamp(0, last)
    planes = image.index_select(axis + 1, wanted).movedim(axis + 1, 1)  # (C, 2n+1, H, W)
    return planes.flatten(0, 1)

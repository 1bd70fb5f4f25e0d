"""One network over one prepared image, whichever way its contract wants to see it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from medseg.errors import ResourceError
from medseg.inference.body import Body
from medseg.inference.calls import Network, constants_once, mirrored
from medseg.inference.room import Room, ran_out
from medseg.inference.slab import Slab
from medseg.inference.slices import slide_slices, with_neighbours
from medseg.inference.windows import pad_to, slide_slabs
from medseg.plugin import Slices, WholeGrid, Windows
from medseg.progress import CancelToken
from medseg.segmenter import Segmenter


class LogitsOf(nn.Module):
    """A segmenter at one spacing as a plain network: (B,C,*S) -> logits (B,K,*S).

    Args:
        segmenter: in eval mode.
        spacing_mm: of the image, along i, j, k.
        patch: a 2-D network is told the spacing of its two axes.
    """

    def __init__(
        self, segmenter: Segmenter, spacing_mm: Sequence[float], patch: Windows | Slices | WholeGrid
    ) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.spacing_mm = [
            mm for axis, mm in enumerate(spacing_mm) if not isinstance(patch, Slices) or axis != patch.axis
        ]
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Score every voxel."""
        # A window is a view of the image: a network that writes into it would change what others see.
        return cast(Tensor, self.segmenter(image.clone(), self.spacing_mm).logits)


def stream_logits(
    network: Network,
    image: Tensor,
    patch: Windows | Slices | WholeGrid,
    *,
    mirror: Sequence[int] = (),
    room: Room | None = None,
    device: torch.device | None = None,
    on_window: Callable[[int, int], None] | None = None,
    on_smaller: Callable[[Room], None] | None = None,
    body: Body | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Slab]:
    """Logits (K,*S) float32 of an image (C,*S), as slabs.

    What the network returns is summed in float32.

    Args:
        network: (B,C,*window) -> logits (B,K,*window).
        image: (C,I,J,K), prepared as the contract says; it may be in the CPU's memory.
        patch: windows, slices, or the whole image at once.
        mirror: spatial axes; average over all flips of a window along them.
        room: how much is done at once, of windows; one window, if None.
        device: of the network; the image's, if None.
        on_window: called with (done, total) after each window or slice.
        on_smaller: called when memory ran out, with the room that is left.
        body: windows and slices without any of it are background.
        cancel: checked before each window or slice.

    Raises:
        ResourceError: memory ran out.
        Cancelled: the token was cancelled.
    """
    seen = constants_once(mirrored(network, mirror) if mirror else network)
    device = device or image.device
    with _memory_errors(device):
        if isinstance(patch, Slices):
            yield from slide_slices(
                seen, image, patch, device=device, on_window=on_window, body=body, cancel=cancel
            )
            return
        if isinstance(patch, WholeGrid):
            patch = Windows(size=patch.shape, overlap=0.0, blend="constant")
        yield from slide_slabs(
            seen,
            image,
            patch,
            room=room,
            device=device,
            on_window=on_window,
            on_smaller=on_smaller,
            body=body,
            cancel=cancel,
        )


def central_window(image: Tensor, patch: Windows | Slices | WholeGrid, *, at: int | None = None) -> Tensor:
    """The window (1,C,*window) in the middle of an image (C,I,J,K), as the network would see it.

    Args:
        image: prepared as the contract says.
        patch: as the contract says.
        at: number of the slice, of a network of slices; the middle one, if None.
    """
    if isinstance(patch, Slices):
        place = image.shape[patch.axis + 1] // 2 if at is None else at
        image = with_neighbours(image, place, axis=patch.axis, neighbours=patch.neighbours)
    sizes = patch.shape if isinstance(patch, WholeGrid) else patch.size
    padded, _ = pad_to(image, sizes)
    begins = [(n - size) // 2 for n, size in zip(padded.shape[1:], sizes, strict=True)]
    box = tuple(slice(a, a + size) for a, size in zip(begins, sizes, strict=True))
    return padded[(slice(None), *box)].unsqueeze(0)


@contextlib.contextmanager
def _memory_errors(device: torch.device) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        remedy = "Try --device cpu" if device.type != "cpu" else "Close other programs, or crop the input"
        raise ResourceError(
            f"the memory of {device} is too small for one window: {error}. {remedy}"
        ) from error

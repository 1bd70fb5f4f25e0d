"""One network over one prepared image, whichever way its contract wants to see it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from medseg.errors import ResourceError
from medseg.inference.slices import slide_slices
from medseg.inference.windows import slide
from medseg.plugin import Slices, WholeGrid, Windows
from medseg.progress import CancelToken
from medseg.segmenter import Segmenter


def compute_logits(
    network: Segmenter,
    image: Tensor,
    patch: Windows | Slices | WholeGrid,
    *,
    spacing_mm: Sequence[float],
    on_window: Callable[[int, int], None] | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:
    """Logits (K,*S) float32 of an image (C,*S), both on the network's device.

    On CUDA the network runs in float16 autocast; what it returns is summed in float32.

    Args:
        network: in eval mode, on the image's device.
        image: (C,I,J,K), prepared as the contract says.
        patch: windows, slices, or the whole image at once.
        spacing_mm: of the image, along i, j, k.
        on_window: called with (done, total) after each window or slice.
        cancel: checked before each window or slice.

    Raises:
        ResourceError: memory ran out.
        Cancelled: the token was cancelled.
    """
    seen_mm = [
        mm for axis, mm in enumerate(spacing_mm) if not isinstance(patch, Slices) or axis != patch.axis
    ]

    def call(window: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.float16, enabled=window.is_cuda):
            return cast(Tensor, network(window, seen_mm).logits)

    with _memory_errors(image.device):
        if isinstance(patch, Slices):
            return slide_slices(call, image, patch, on_window=on_window, cancel=cancel)
        if isinstance(patch, WholeGrid):
            patch = Windows(size=patch.shape, overlap=0.0, blend="constant")
        return slide(call, image, patch, on_window=on_window, cancel=cancel)


@contextlib.contextmanager
def _memory_errors(device: torch.device) -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ResourceError(f"the memory of {device} is too small: {error}. Try --device cpu") from error
    except RuntimeError as error:
        # torch has no class of its own for a failed allocation on the CPU.
        if "can't allocate memory" not in str(error):
            raise
        raise ResourceError(f"memory ran out while the network ran: {error}") from error

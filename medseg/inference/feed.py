"""Windows of an image, on the device where the network wants them, the next ones on their way."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medseg.storage import let_go

Corner = tuple[int, ...]


class Feed:
    """Cuts windows out of an image.

    From the CPU's memory to a GPU they go through two pinned buffers by turns, on a stream of their
    own, so that the copy of one batch runs while the network works on the one before.

    Args:
        image: (C,*S), at least as large as a window.
        sizes: of a window.
        corners: where windows begin, in the order in which they are taken.
        device: of the network.
    """

    def __init__(
        self, image: Tensor, sizes: Sequence[int], corners: Sequence[Corner], device: torch.device
    ) -> None:
        self._image, self.sizes, self._corners, self._device = image, tuple(sizes), corners, device
        self._ahead: tuple[int, int, Tensor, torch.cuda.Event] | None = None
        self._uploads = device.type == "cuda" and image.device.type == "cpu"
        self._pinned: list[Tensor] = []
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._turn = 0
        self._stream = torch.cuda.Stream(device) if self._uploads else None  # type: ignore[no-untyped-call]  # torch's

    def __len__(self) -> int:
        return len(self._corners)

    def take(self, first: int, count: int) -> Tensor:
        """Windows (B,C,*sizes) from one on, in order; B is the count, or what is left."""
        count = min(count, len(self._corners) - first)
        if self._image.device.type == "cpu":
            let_go(self._image.numpy())  # what earlier windows have read
        if not self._uploads:
            cut = [self._cut(corner) for corner in self._corners[first : first + count]]
            return cut[0].unsqueeze(0) if count == 1 else torch.stack(cut)
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[:2] != (first, count):
            ahead = self._send(first, count)
        following = min(count, len(self._corners) - first - count)
        if following > 0:
            self._ahead = self._send(first + count, following)
        _, _, windows, arrived = ahead
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        windows.record_stream(current)
        return windows

    def _cut(self, corner: Corner) -> Tensor:
        box = tuple(slice(a, a + size) for a, size in zip(corner, self.sizes, strict=True))
        return self._image[(slice(None), *box)]

    def _send(self, first: int, count: int) -> tuple[int, int, Tensor, torch.cuda.Event]:
        """Begin to copy windows to the device."""
        turn, self._turn = self._turn, 1 - self._turn
        shape = (count, len(self._image), *self.sizes)
        if not self._pinned or self._pinned[0].shape[0] < count:
            for event in self._copied:
                if event is not None:
                    event.synchronize()
            self._pinned = [torch.empty(shape, dtype=self._image.dtype, pin_memory=True) for _ in range(2)]
        before = self._copied[turn]
        if before is not None:
            before.synchronize()  # the copy from this buffer two batches ago
        buffer = self._pinned[turn][:count]
        for n, corner in enumerate(self._corners[first : first + count]):
            buffer[n].copy_(self._cut(corner))
        with torch.cuda.stream(self._stream):
            windows = buffer.to(self._device, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's
            arrived.record(self._stream)
        self._copied[turn] = arrived
        return first, count, windows, arrived

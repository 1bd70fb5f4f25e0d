"""Add up what windows say where they overlap, one window's length of the image at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from medseg.inference.room import PLACES, Room, ran_out
from medseg.inference.slab import Slab
from medseg.inference.weights import ClampedGaussian, Partition
from medseg.plugin import Windows
from medseg.storage import let_go, mapped_zeros


class Ring:
    """The sums of the rows that a window along one axis can still reach.

    Row n of the image is row n modulo the window's length of the ring, so nothing is ever moved.

    Args:
        shape: of the padded image.
        starts: where windows begin along each axis.
        windows: their size and how they blend.
        axis: along which rows are finished.
        room: where the sums are held.
        device: of the network.
        on_smaller: called when there is no memory for the sums there, with the room that is left.
    """

    def __init__(
        self,
        shape: Sequence[int],
        starts: Sequence[Sequence[int]],
        windows: Windows,
        *,
        axis: int,
        room: Room,
        device: torch.device,
        on_smaller: Callable[[Room], None] | None = None,
    ) -> None:
        self._sizes, self._axis, self._start = tuple(windows.size), axis, 0
        self._held = tuple(windows.size[n] if n == axis else length for n, length in enumerate(shape))
        self._room, self._device, self._on_smaller = room, device, on_smaller
        self._blend: Partition | ClampedGaussian
        if windows.placement == "monai" and windows.blend == "gaussian":
            self._blend = ClampedGaussian(windows.size)
        else:
            self._blend = Partition(starts, windows.size, windows.blend)
        self._sums: Tensor | None = None
        self._counts: Tensor | None = None

    def add(self, logits: Tensor, corner: tuple[int, ...]) -> None:
        """Add a window's weighted logits (K,*window)."""
        sums = self._sums = self._zeros(len(logits)) if self._sums is None else self._sums
        logits, weight = logits.to(sums.device), self._blend.at(corner, sums.device)
        along = self._axis + 1
        for begin, first, rows in self._segments(corner[self._axis], self._sizes[self._axis]):
            box: list[slice] = [
                slice(begin, begin + rows) if axis == self._axis else slice(a, a + size)
                for axis, (a, size) in enumerate(zip(corner, self._sizes, strict=True))
            ]
            part = weight.narrow(self._axis, first, rows)
            sums[(slice(None), *box)].addcmul_(logits.narrow(along, first, rows), part)
            if self._counts is not None:
                self._counts[(slice(None), *box)] += part
        self._let_go()

    def finish(self, following: int) -> Iterator[Slab]:
        """The rows before the one where the next windows begin; they are forgotten after each is used."""
        along, start = self._axis + 1, self._start
        for begin, first, rows in self._segments(start, following - start):
            assert self._sums is not None  # a window was added before rows are finished
            sums = self._sums.narrow(along, begin, rows)
            if self._counts is not None:
                counts = self._counts.narrow(along, begin, rows)
                sums.div_(counts)
                counts.zero_()
            yield Slab(logits=sums, axis=self._axis, start=start + first)
            sums.zero_()
            self._let_go()
        self._start = following

    @property
    def room(self) -> Room:
        """What is left of the room."""
        return self._room

    def move(self, room: Room) -> None:
        """Take what a smaller room has, of what is smaller there; the sums stay what they are."""
        held, before = self._sums, self._room
        stitch = max(before.stitch, room.stitch, key=PLACES.index)
        self._room = replace(room, batch=min(before.batch, room.batch), stitch=stitch)
        if held is not None and stitch != before.stitch:
            self._sums = self._zeros(len(held)).copy_(held)
            self._let_go()

    def _zeros(self, classes: int) -> Tensor:
        """Sums (K,*held), in the room or the next smaller one with memory for them; counts if needed."""
        while True:
            try:
                return self._allocate((classes, *self._held))
            except Exception as error:
                smaller = replace(self._room, batch=1).smaller(self._device) if ran_out(error) else None
                if smaller is None:
                    raise
                self._room = replace(smaller, batch=self._room.batch)
                if self._on_smaller:
                    self._on_smaller(self._room)

    def _allocate(self, shape: tuple[int, ...]) -> Tensor:
        place = self._device if self._room.stitch == "device" else torch.device("cpu")
        if not self._blend.sums_to_one:
            before = self._counts
            self._counts = torch.zeros((1, *self._held), device=place) if before is None else before.to(place)
        if self._room.stitch == "disk":
            return torch.from_numpy(mapped_zeros(shape, "float32"))
        return torch.zeros(shape, device=place)

    def _segments(self, row: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Rows of the image as rows of the ring: begin there, first of the count, how many."""
        done, length = 0, self._sizes[self._axis]
        while done < count:
            begin = (row + done) % length
            rows = min(count - done, length - begin)
            yield begin, done, rows
            done += rows

    def _let_go(self) -> None:
        if self._sums is not None and self._sums.device.type == "cpu":
            let_go(self._sums.numpy())

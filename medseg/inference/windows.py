"""Slide a network over an image, blend what it says, and let each row go once it is finished.

Windows come in order along one axis. Rows that no later window reaches are final; what is held is one
window's length of that axis, whatever the image's. Placement, weights and padding are those of MONAI's
``sliding_window_inference`` (1.6) or of nnU-Net's predictor (2.6), as the contract says; tests hold
medseg and both to the same numbers.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medseg.errors import ContractError
from medseg.inference.body import Body
from medseg.inference.feed import Feed
from medseg.inference.room import Room, ran_out
from medseg.inference.slab import Slab
from medseg.inference.stitching import Ring
from medseg.plugin import Windows
from medseg.progress import CancelToken

Network = Callable[[Tensor], Tensor]
Box = tuple[slice, ...]


def slide(
    network: Network,
    image: Tensor,
    windows: Windows,
    *,
    on_window: Callable[[int, int], None] | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:
    """Blend a network's logits over all windows, and keep all of them; for the rest see ``slide_slabs``.

    Returns:
        (K,*S) float32 on the image's device.
    """
    total: Tensor | None = None
    for slab in slide_slabs(network, image, windows, on_window=on_window, cancel=cancel):
        if total is None:
            total = torch.empty((len(slab.logits), *image.shape[1:]), device=image.device)
        rows = slab.logits.shape[slab.axis + 1]
        total.narrow(slab.axis + 1, slab.start, rows).copy_(slab.logits)
    assert total is not None  # there is always at least one window
    return total


def slide_slabs(
    network: Network,
    image: Tensor,
    windows: Windows,
    *,
    room: Room | None = None,
    device: torch.device | None = None,
    on_window: Callable[[int, int], None] | None = None,
    on_smaller: Callable[[Room], None] | None = None,
    body: Body | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Slab]:
    """Blend a network's logits over all windows, and yield rows as they are finished.

    Where memory runs out, the same windows are run again in less room, and what was done is kept.

    Args:
        network: (B,C,*window) -> logits (B,K,*window).
        image: (C,*S); it may be in the CPU's memory while the network is on a GPU.
        windows: size, overlap, blending and placement.
        room: how much is done at once; one window, if None.
        device: of the network; the image's, if None.
        on_window: called with (done, total) after each window.
        on_smaller: called when memory ran out, with the room that is left.
        body: windows without any of it are background; the first is computed nevertheless.
        cancel: checked before each batch of windows.

    Yields:
        Slabs along the axis on which the fewest values are held, on the device where they were added up.

    Raises:
        ContractError: a window without voxels, an overlap outside 0 <= overlap < 1, or a network that
            does not answer every voxel of a window.
    """
    if min(windows.size) < 1 or not 0 <= windows.overlap < 1:
        raise ContractError(
            f"windows of {tuple(windows.size)} voxels with an overlap of {windows.overlap}: wanted sizes "
            "of at least 1 and 0 <= overlap < 1"
        )
    sizes, place_of_network, room = tuple(windows.size), device or image.device, room or Room()
    padded, inner = pad_to(image, sizes)
    starts = place(padded.shape[1:], windows)
    axis = slab_axis(padded.shape[1:], sizes)
    corners = sorted(itertools.product(*starts), key=lambda corner: corner[axis])
    computed = [c for n, c in enumerate(corners) if n == 0 or body is None or _holds(body, c, sizes, inner)]
    if body is not None:
        body.skipped += len(corners) - len(computed)
    ring = Ring(
        padded.shape[1:],
        starts,
        windows,
        axis=axis,
        room=room,
        device=place_of_network,
        on_smaller=on_smaller,
    )

    def make_room(room: Room) -> None:
        ring.move(room)
        if on_smaller:
            on_smaller(ring.room)

    feed = Feed(padded, sizes, computed, place_of_network)
    answers = _answers(network, feed, room, place_of_network, on_smaller=make_room, cancel=cancel)
    left, nothing = iter(computed), torch.empty(0)
    following = next(left, None)
    for done, corner in enumerate(corners):
        if corner == following:
            logits = next(answers).float()
            following = next(left, None)
            if body is not None and done == 0:
                nothing = body.background(logits)
        else:
            logits = nothing
        if on_window:
            on_window(done + 1, len(corners))
        if len(corners) == 1:
            yield Slab(logits=logits[(slice(None), *inner)], axis=axis, start=0)
            return
        ring.add(logits, corner)
        del logits  # it would be held while the network makes the next one
        end = corners[done + 1][axis] if done + 1 < len(corners) else padded.shape[axis + 1]
        if end > corner[axis]:
            for slab in ring.finish(end):
                yield from _inside(slab, inner)


def _answers(
    network: Network,
    feed: Feed,
    room: Room,
    device: torch.device,
    *,
    on_smaller: Callable[[Room], None],
    cancel: CancelToken | None,
) -> Iterator[Tensor]:
    """What the network says of each window of a feed, (K,*window)."""
    done = 0
    while done < len(feed):
        if cancel:
            cancel.check()
        found = _attempt(network, feed, done, room, device)
        if isinstance(found, Room):
            room = found
            on_smaller(room)
            continue
        _check_answered(found, feed.sizes)
        done += len(found)
        yield from found
        del found  # as above


def _holds(body: Body, corner: tuple[int, ...], sizes: tuple[int, ...], inner: Box) -> bool:
    """Whether a window of the padded image holds some of the body."""
    return body.is_in([begin - i.start for begin, i in zip(corner, inner, strict=True)], sizes)


def place(shape: Sequence[int], windows: Windows) -> list[list[int]]:
    """Where windows begin along each axis of an image that is at least as large as one.

    MONAI steps by whole voxels and moves the last window back inside; nnU-Net spaces windows evenly.
    """
    return [
        (_snapped if windows.placement == "monai" else _even)(n, size, windows.overlap)
        for n, size in zip(shape, windows.size, strict=True)
    ]


def slab_axis(shape: Sequence[int], sizes: Sequence[int]) -> int:
    """The axis on which a window is the smallest part of the image: there the fewest values are held."""
    return min(range(len(sizes)), key=lambda axis: sizes[axis] / shape[axis])


def _attempt(network: Network, feed: Feed, first: int, room: Room, device: torch.device) -> Tensor | Room:
    """What the network says of the next windows; or the room to try again in, if memory ran out."""
    try:
        return network(feed.take(first, room.batch))
    except Exception as error:
        smaller = room.smaller(device) if ran_out(error) else None
        if smaller is None:
            raise
    # Outside of the handler, whose traceback would keep alive what the network had allocated.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return smaller


def _check_answered(answers: Tensor, sizes: tuple[int, ...]) -> None:
    if tuple(answers.shape[2:]) != sizes:
        raise ContractError(
            f"the network answered {sizes} voxels with {tuple(answers.shape[2:])}; wanted as many out as "
            "in. A U-Net built with padding='valid' gives the middle alone: build it with "
            "padding='mirror', which takes the same weights"
        )


def _inside(slab: Slab, inner: Box) -> Iterator[Slab]:
    """The part of a slab that is no padding, if there is any."""
    wanted = inner[slab.axis]
    rows = slab.logits.shape[slab.axis + 1]
    begin, end = max(slab.start, wanted.start), min(slab.start + rows, wanted.stop)
    if begin < end:
        box = list(inner)
        box[slab.axis] = slice(begin - slab.start, end - slab.start)
        yield Slab(logits=slab.logits[(slice(None), *box)], axis=slab.axis, start=begin - wanted.start)


def _snapped(length: int, size: int, overlap: float) -> list[int]:
    step = size if size == length else max(1, int(size * (1 - overlap)))
    count = -(-(length - size) // step) + 1
    return [min(n * step, length - size) for n in range(count)]


def _even(length: int, size: int, overlap: float) -> list[int]:
    count = math.ceil((length - size) / (size * (1 - overlap))) + 1
    step = (length - size) / (count - 1) if count > 1 else 0.0
    return [round(n * step) for n in range(count)]


def pad_to(image: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Box]:
    """Pad with zeros, evenly, where the image is smaller than a window; and where the image is then."""
    short = [max(size - n, 0) for n, size in zip(image.shape[1:], sizes, strict=True)]
    before = [missing // 2 for missing in short]
    inner = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    if not any(short):
        return image, inner
    pairs = [(b, missing - b) for b, missing in zip(before, short, strict=True)]
    return F.pad(image, [n for pair in reversed(pairs) for n in pair]), inner

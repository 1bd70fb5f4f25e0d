"""How much memory a run will need, said before it begins, and how it is made to fit a limit."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from medseg.errors import OptionError, ResourceError
from medseg.inference.room import Room
from medseg.inference.windows import slab_axis
from medseg.plugin import Precision, Slices, WholeGrid, Windows
from medseg.volume import smallest_integer_type

_UPSAMPLING = 150_000_000  # bytes: pieces of labels.py and the points of upsampling.py
_PIECE = 16_000_000  # bytes of scores in a piece of labels.py, unless one row of it is larger
_COPIES = 5  # of such a row: the one before, both as one, and what interpolating them takes
_FINISHING = 12  # bytes a voxel: pieces that touch are numbered, with a mask and what is kept
_BANDS = 100_000_000  # bytes: what is in memory of arrays that are on the disk
_KEPT = 0.75  # of what is freed between windows, as seen on networks of 2 to 118 classes
_SPARE = 50_000_000  # bytes: what allocators keep, and small things
# To choose a backend: windows of torch's network and answers that are held at once, as seen on four
# networks with every engine there is; and what the engines themselves take.
_CHOOSING = {"float32": (2, 4), "int8": (2, 12), "float16": (1, 8), "bfloat16": (1, 8)}
_ENGINES = 330_000_000  # bytes
_KEPT_CHOOSING = 0.12  # of all this, what stays and nothing later fits into


@dataclass(frozen=True, kw_only=True)
class Task:
    """What decides how much memory a run on the CPU needs.

    Args:
        patch: as the contract says.
        channels: C of the image.
        classes: K.
        shape: of the network's image.
        home: shape of the grid that the labels are wanted on.
        window_bytes: of the network on one window.
        before: what the process holds already: libraries, weights, the volumes that were read.
        maps: probabilities are kept too.
        on_gpu: what a room has on the device is not in the memory of the CPU.
        mirrored: windows are averaged over their flips.
        keeps: freed blocks stay with the process; see ``medseg.allocator``.
        finished: steps after the network look at the labels as a whole.
        choosing: the precision for which a backend is yet to be chosen; None if there is nothing to choose.
    """

    patch: Windows | Slices | WholeGrid
    channels: int
    classes: int
    shape: tuple[int, ...]
    home: tuple[int, ...]
    window_bytes: int
    before: int
    maps: bool = False
    on_gpu: bool = False
    mirrored: bool = False
    keeps: bool = False
    finished: bool = False
    choosing: Precision | None = None


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes that a run will need at its peak.

    Args:
        before: what the process holds already: libraries, weights, the volumes that were read.
        image: the network's input.
        preparing: the input and what resampling it takes besides.
        window: the tensors that live while the network runs once.
        stitching: the rows that are not finished, of all classes.
        labels: the result.
        restoring: one window's answer, and what interpolation to the labels' grid takes besides.
        finishing: the labels, and what steps after the network take besides.
        kept: freed blocks that stay and that nothing later fits into.
        room: how much is done at once, and what is held on the disk.
        vram: predicted of the GPU's memory, besides the weights; 0 on the CPU.
        choosing: what it takes to compare backends, once; 0 if there is nothing to choose.
    """

    before: int
    image: int
    preparing: int
    window: int
    stitching: int
    labels: int
    restoring: int
    finishing: int = 0
    kept: int = 0
    room: Room = field(default_factory=Room)
    vram: int = 0
    choosing: int = 0

    @property
    def peak(self) -> int:
        """The most that is held at once."""
        running = self.image + self.stitching + self.labels + max(self.window, self.restoring)
        most = max(self.preparing, running, self.finishing, self.image + self.choosing)
        return self.before + most + self.kept + _SPARE

    def as_json(self) -> dict[str, object]:
        """For the provenance."""
        return {**asdict(self), "peak": self.peak}


def plan_memory(task: Task, room: Room) -> MemoryPlan:
    """Predict the memory of one run on the CPU in some room."""
    voxels, wanted = int(np.prod(task.shape)), int(np.prod(task.home))
    window, row, rows = _window(task.patch, task.shape)
    answer = 4 * task.classes * int(np.prod(window))
    mapped = room.arrays == "disk"
    image = 4 * task.channels * voxels
    if mapped or (task.on_gpu and room.image == "device"):
        image = min(image, _BANDS)
    label_bytes = wanted * np.dtype(smallest_integer_type(task.classes)).itemsize
    # Of sums on the disk, what one window touches is in memory until it is let go; the counts always are.
    sums = 4 * task.classes * row * rows
    held = 4 * row * rows + (min(answer, sums) if room.stitch == "disk" else sums)
    if isinstance(task.patch, Slices):
        held = 2 * sums  # a slice is added up, and then handed on as a whole
    if task.on_gpu and room.stitch == "device":
        held = 0
    restoring = answer + _UPSAMPLING * (1 + task.maps)
    restoring += _COPIES * max(0, 4 * task.classes * row - _PIECE)
    windows, answers = _CHOOSING[task.choosing] if task.choosing else (0, 0)
    choosing = windows * task.window_bytes + answers * answer + _ENGINES if task.choosing else 0
    label_memory = min(label_bytes, _BANDS) if mapped else label_bytes
    return MemoryPlan(
        before=task.before,
        image=image,
        preparing=_BANDS if mapped else 4 * (task.channels - 1) * voxels + _resampling(task.home, task.shape),
        window=task.window_bytes + (0 if task.on_gpu else _beside(task, answer)),
        stitching=held,
        labels=label_memory,
        restoring=restoring,
        finishing=label_memory + _FINISHING * wanted if task.finished else 0,
        kept=int(max(_KEPT * min(task.window_bytes, restoring), _KEPT_CHOOSING * choosing))
        if task.keeps
        else 0,
        room=room,
        choosing=choosing,
    )


def fit_memory(task: Task, max_ram: int | None, *, least: Room | None = None) -> MemoryPlan:
    """The first plan within a limit: all in memory, then sums on the disk, then every large array.

    Args:
        task: what is to be done.
        max_ram: bytes; None for no limit.
        least: what is decided already, on a GPU.

    Raises:
        ResourceError: not even the smallest does; it says how much is needed, and for what.
    """
    first = least or Room()
    rooms = [first]
    if first.stitch != "device" or least is None:
        rooms.append(replace(first, stitch="disk"))
    rooms.append(replace(rooms[-1], arrays="disk"))
    for room in rooms:
        plan = plan_memory(task, room)
        if max_ram is None or plan.peak <= max_ram:
            return plan
    once = f"{plan.choosing / 1e9:.2f} GB of them to choose a backend, once, " if plan.choosing else ""
    remedy = "crop the input"
    if task.choosing:
        remedy = "take --backend eager" if task.choosing == "float32" else "leave out --precision"
    raise ResourceError(
        f"this run needs about {plan.peak / 1e9:.2f} GB, with all that can be on the disk: {once}"
        f"{plan.window / 1e9:.2f} GB for one window, {plan.before / 1e9:.2f} GB for the input and "
        f"libraries; --max-ram allows {(max_ram or 0) / 1e9:.2f} GB. Allow more, or {remedy}"
    )


def fit_vram(task: Task, limit: int, *, batches: bool, refuse: bool) -> tuple[Room, int]:
    """The largest room on a GPU within some bytes, and what it takes; at least one window.

    Args:
        task: what is to be done, with the bytes of a window on the GPU.
        limit: bytes that may be used.
        batches: whether the backend takes several windows at once.
        refuse: whether the limit was set by someone, and is not merely what is free now.

    Raises:
        ResourceError: one window does not fit what was set.
    """
    image = 4 * task.channels * int(np.prod(task.shape))
    window, row, rows = _window(task.patch, task.shape)
    answer = 4 * task.classes * int(np.prod(window))
    sums = 4 * (task.classes + 1) * row * rows
    windowed = batches and isinstance(task.patch, Windows)
    wanted = [Room(batch=n) for n in ((8, 4, 2, 1) if windowed else (1,))]
    wanted += [Room(stitch="host"), Room(stitch="host", image="host")]
    for room in wanted:
        vram = task.window_bytes * room.batch + _beside(task, answer, batch=room.batch)
        vram += sums * (room.stitch == "device") + image * (room.image == "device")
        if vram <= limit:
            break
    else:
        if refuse:
            raise ResourceError(
                f"one window needs about {vram / 1e9:.2f} GB of the GPU's memory; --max-vram allows "
                f"{limit / 1e9:.2f} GB. Allow more, or --device cpu"
            )
    return room, vram


def _beside(task: Task, answer: int, *, batch: int = 1) -> int:
    """Bytes of what stands between windows and network: a constant window's answer, and sums of flips."""
    constant = answer if isinstance(task.patch, Windows) else 0
    return constant + (2 * answer * batch if task.mirrored else 0)


def parse_bytes(text: str) -> int:
    """``"4GiB"``, ``"500 MB"`` or ``"2e9"`` as bytes.

    Raises:
        OptionError: it is not written like that.

    Example:
        >>> parse_bytes("4GiB")
        4294967296
    """
    match = re.fullmatch(r"\s*([0-9.eE+]+)\s*([kMGT]i?)?B?\s*", text)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or not 0 < number < 1e30:
        raise OptionError(
            f"{text!r} is no amount of memory; wanted a number and a unit, such as 4GiB or 500MB"
        )
    prefix = match[2] or ""
    power = " kMGT".index(prefix[:1] or " ")
    return int(number * (1024 if prefix.endswith("i") else 1000) ** power)


def _resampling(source: Sequence[int], target: Sequence[int]) -> int:
    """Bytes at the peak of bringing a volume to the network's grid, one axis after the other, and a step."""
    held, sizes = list(source), [0]
    for axis in sorted(range(3), key=lambda a: target[a] / source[a]):  # the order of sample_parallel
        if held[axis] != target[axis]:
            held[axis] = target[axis]
            sizes.append(4 * int(np.prod(held)))
    end = 4 * int(np.prod(target))
    return max(2 * end, *(a + b for a, b in itertools.pairwise(sizes)), 0)


def _window(patch: Windows | Slices | WholeGrid, shape: Sequence[int]) -> tuple[tuple[int, ...], int, int]:
    """Shape of what the network sees at once, voxels of a row, and how many rows are not finished."""
    if isinstance(patch, WholeGrid):
        return patch.shape, int(np.prod(shape)) // min(shape), 0
    if isinstance(patch, Slices):
        across = [n for axis, n in enumerate(shape) if axis != patch.axis]
        return patch.size, int(np.prod(np.maximum(across, patch.size))), 1
    padded = np.maximum(shape, patch.size)
    axis = slab_axis(padded.tolist(), patch.size)
    return patch.size, int(np.prod(padded)) // int(padded[axis]), patch.size[axis]

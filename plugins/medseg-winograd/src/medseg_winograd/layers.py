"""A layer of a network, planned for one shape of its input: which kernel does it, and with what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg_winograd.crew import Crew
from medseg_winograd.kernels import direct, sums, winograd
from medseg_winograd.machine import Machine

Reals = NDArray[np.float32]
Size = tuple[int, int, int]

_CACHE = 2**20  # bytes of rows that are laid out at once: what a core has close by
_PACKING = 6  # products that cost as much as to lay out one value

# F(4, 3), the paper's G.
_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The input of a layer: channels, and how each is seen: ``x * scale + shift``, times slope below 0.

    Args:
        parts: (C,D,H,W) each, C-contiguous float32; their channels one after the other.
        scale: (C), of all of them.
        shift: likewise.
        slope: likewise.
    """

    parts: tuple[Tensor, ...]
    scale: Reals
    shift: Reals
    slope: Reals

    def addresses(self) -> NDArray[np.int64]:
        """Where each channel begins."""
        return np.concatenate(
            [part.data_ptr() + 4 * part[0].numel() * np.arange(len(part)) for part in self.parts]
        ).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution or a transposed one.

    Args:
        machine: with the kernels.
        kernel: that does it.
        values: of the kernel's arguments, but for those that a run has.
        tasks: how many there are.
        counts: (tasks); values of a unit that one of them writes.
        shape: of the answer, (K,D,H,W).
        units: of the answer that the kernel writes.
        rows: values of ``v`` and ``m``.
    """

    machine: Machine
    kernel: str
    values: Mapping[str, Any]
    tasks: int
    counts: NDArray[np.int64]
    shape: tuple[int, int, int, int]
    units: int
    rows: tuple[int, int]

    def run(self, given: Channels, crew: Crew) -> tuple[Tensor, NDArray[np.float64]]:
        """The answer (K,D,H,W), and of each of its channels mean and variance (2,K)."""
        out = torch.empty(self.shape)
        records = np.empty((self.tasks, self.units, sums.RECORD), np.float32)
        values = {
            **self.values,
            "images": given.addresses(),
            "scale": given.scale,
            "shift": given.shift,
            "slope": given.slope,
            "out": out.numpy(),
            "sums": records,
        }

        def begin() -> Any:
            v, m = np.zeros(self.rows[0], np.float32), np.empty(self.rows[1], np.float32)
            own = {**values, "v": v, "m": m}
            do = self.machine.prepared(self.kernel, own)
            return lambda n, kept=own: do(n)  # the kernel knows addresses only

        crew.share(self.tasks, begin)
        return out, _moments(records, self.counts, self.shape[0])


def plan_convolution(
    machine: Machine,
    weight: Reals,
    bias: Reals | None,
    size: Size,
    *,
    stride: Size,
    padding: Size,
) -> Layer:
    """A convolution of an image of some size with weights (K,C,*kernel)."""
    usual = weight.shape[2:] == (3, 3, 3) and stride == (1, 1, 1) and padding == (1, 1, 1)
    if usual and min(size[:2]) >= 2 * winograd.TILE:
        return _plan_winograd(machine, weight, bias, size)
    answers, _, *kernel = weight.shape
    shape = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, kernel, stride, strict=True)]
    plane, voxels = shape[1] * shape[2], int(np.prod(shape))
    return _plan_direct(
        machine,
        weight.transpose(0, 1, 2, 3, 4),
        size,
        stride=stride,
        padding=padding,
        rows=(shape[0], shape[1], shape[2]),
        shape=(answers, shape[0], shape[1], shape[2]),
        bias=_bias(bias, answers),
        places=np.arange(answers) * voxels,
        steps=(plane, shape[2]),
        phases=1,
    )


def plan_transposed(
    machine: Machine, weight: Reals, bias: Reals | None, size: Size, *, stride: Size
) -> Layer:
    """A transposed convolution with weights (C,K,*stride), whose kernel is its stride; 1 or 2 along W."""
    inputs, answers, kd, kh, kw = weight.shape
    shape = (answers, size[0] * kd, size[1] * kh, size[2] * kw)
    _, depth, height, width = shape
    # A unit is a channel's rows of one phase along D and H; its phases along W follow each other.
    spread = weight.transpose(2, 3, 1, 4, 0).reshape(kd * kh * answers * kw, inputs, 1, 1, 1)
    places = (
        (np.arange(kd) * height * width)[:, None, None]
        + (np.arange(kh) * width)[:, None]
        + np.arange(answers) * depth * height * width
    )
    return _plan_direct(
        machine,
        spread,
        size,
        stride=(1, 1, 1),
        padding=(0, 0, 0),
        rows=size,
        shape=shape,
        bias=np.tile(_bias(bias, answers), kd * kh),
        places=places.reshape(-1),
        steps=(kd * height * width, kh * width),
        phases=kw,
    )


def _plan_winograd(machine: Machine, weight: Reals, bias: Reals | None, size: Size) -> Layer:
    answers, inputs = weight.shape[:2]
    depth, height, width = size
    registers, tiles = machine.registers, -(-height // winograd.TILE)
    points, strip = winograd.POINTS**2, width + 2
    together = max(
        (n for n in range(1, tiles + 1) if n == 1 or 4 * points * inputs * n * strip <= _CACHE),
        key=lambda n: (n * width / _whole(n * strip - 2, registers.lanes), n),
    )
    length = _whole(together * strip - 2, registers.lanes)
    groups, v_row = -(-tiles // together), length + 2
    v_apart = _odd_lines(inputs * v_row)
    m_apart = _odd_lines(winograd.CHUNK * registers.channels * length)
    u = (weight.transpose(0, 1, 4, 2, 3).reshape(-1, 9).astype(np.float64) @ np.kron(_G, _G).T).reshape(
        answers, inputs, 3, points
    )
    rows = [min(winograd.TILE, depth - n) for n in range(0, depth, winograd.TILE)]
    across = winograd.TILE * together
    columns = [min(across, height - n) for n in range(0, height, across)]
    return Layer(
        machine=machine,
        kernel="winograd",
        values={
            "inputs": inputs,
            "u": _in_blocks(u.transpose(0, 3, 1, 2), registers.channels),
            "bias": _bias(bias, answers),
            "answers": answers,
            "depth": depth,
            "height": height,
            "width": width,
            "together": together,
            "groups": groups,
            "length": length,
            "v_row": v_row,
            "v_apart": v_apart,
            "m_apart": m_apart,
            "taps": np.arange(3),
        },
        tasks=len(rows) * groups,
        counts=np.outer(rows, columns).reshape(-1) * width,
        shape=(answers, *size),
        units=answers,
        # The last vector of the last tap reads beyond the rows.
        rows=(points * v_apart + length, points * m_apart),
    )


def _plan_direct(
    machine: Machine,
    weight: Reals,
    size: Size,
    *,
    stride: Size,
    padding: Size,
    rows: Size,
    shape: tuple[int, int, int, int],
    bias: Reals,
    places: NDArray[np.int64],
    steps: tuple[int, int],
    phases: int,
) -> Layer:
    channels, inputs, kd, kh, kw = weight.shape
    registers = machine.registers
    pitch = max(rows[2] + (kw - 1) // stride[2], -(-(size[2] + padding[2]) // stride[2]))

    def lines(n: int) -> int:
        return n + (kh - 1) // stride[1]  # of each phase along H

    def v_row_of(n: int) -> int:
        return kd * stride[2] * stride[1] * lines(n) * pitch

    def cost(n: int) -> tuple[float, int]:
        products = _whole((n - 1) * pitch + rows[2], registers.lanes) * kd * kh * kw * channels
        laid_out = ((n - 1) * stride[1] + kh) * kd * size[2]
        return (products / registers.lanes + _PACKING * laid_out / registers.lanes) / n, -n

    fitting = [n for n in range(1, rows[1] + 1) if n == 1 or 4 * inputs * v_row_of(n) <= _CACHE]
    together = min(fitting, key=cost)
    length = _whole((together - 1) * pitch + rows[2], registers.lanes)
    v_height = lines(together) * pitch
    v_odd, v_row = stride[1] * v_height, v_row_of(together)
    taps = [
        d * stride[2] * v_odd
        + (w % stride[2]) * v_odd
        + (h % stride[1]) * v_height
        + (h // stride[1]) * pitch
        + w // stride[2]
        for d in range(kd)
        for h in range(kh)
        for w in range(kw)
    ]
    columns = [min(together, rows[1] - n) for n in range(0, rows[1], together)]
    units = channels // phases
    return Layer(
        machine=machine,
        kernel="spread" if phases == 2 else "strided" if stride[2] == 2 else "direct",
        values={
            "inputs": inputs,
            "in_depth": size[0],
            "in_height": size[1],
            "in_width": size[2],
            "step_d": stride[0],
            "step_h": stride[1],
            "before_d": padding[0],
            "before_h": padding[1],
            "before_w": padding[2],
            "kernel_d": kd,
            "kernel_h": kh,
            "u": _in_blocks(weight.reshape(channels, inputs, -1), registers.channels),
            "taps": np.array(taps, np.int64),
            "tap_count": len(taps),
            "v_row": v_row,
            "v_depth": stride[2] * v_odd,
            "v_odd": v_odd,
            "v_height": v_height,
            "pitch": pitch,
            "length": length,
            "bias": bias,
            "places": np.ascontiguousarray(places, np.int64),
            "units": units,
            "out_d": steps[0],
            "out_h": steps[1],
            "rows": rows[1],
            "width": rows[2],
            "together": together,
            "groups": len(columns),
        },
        tasks=rows[0] * len(columns),
        counts=np.tile(columns, rows[0]) * rows[2] * phases,
        shape=shape,
        units=units,
        # The last vector of the last tap reads beyond the rows.
        rows=(inputs * v_row + length + pitch, direct.CHUNK * registers.channels * length),
    )


def _in_blocks(weight: NDArray[Any], channels: int) -> Reals:
    """Weights (K,...,T) as (blocks,...,T,channels), filled up with zeros."""
    count = -(-len(weight) // channels)
    padded = np.zeros((count * channels, *weight.shape[1:]), np.float32)
    padded[: len(weight)] = weight
    blocks = padded.reshape(count, channels, *weight.shape[1:])
    return np.ascontiguousarray(np.moveaxis(blocks, 1, -1))


def _bias(bias: Reals | None, answers: int) -> Reals:
    return np.zeros(answers, np.float32) if bias is None else np.ascontiguousarray(bias, np.float32)


def _whole(length: int, lanes: int) -> int:
    return -(-length // lanes) * lanes


def _odd_lines(values: int) -> int:
    """At least so many values, an odd number of a cache's lines: arrays that far apart share no line of it."""
    lines = -(-values // 16)
    return 16 * (lines + 1 - lines % 2)


def _moments(records: Reals, counts: NDArray[np.int64], answers: int) -> NDArray[np.float64]:
    """Mean and variance (2,K) of all values, from the records (tasks,units,3) of some at a time."""
    first, total, squares = (
        records.astype(np.float64).reshape(len(records), -1, answers, 3).transpose(3, 0, 1, 2)
    )
    count = counts[:, None, None].astype(np.float64)
    whole = count.sum() * first.shape[1]
    means = first + total / count
    mean = (count * means).sum((0, 1)) / whole
    spread = squares - total**2 / count + count * (means - mean) ** 2
    return np.stack([mean, spread.sum((0, 1)) / whole])

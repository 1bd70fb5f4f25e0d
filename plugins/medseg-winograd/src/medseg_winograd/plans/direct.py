"""Convolutions of any kernel, with strides of 1 or 2 along W, and transposed ones that only spread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg_winograd.kernels.direct import CHUNK
from medseg_winograd.kernels.emit import Registers
from medseg_winograd.layers import Layer, Reals, Size
from medseg_winograd.machine import Machine
from medseg_winograd.plans.layout import CACHE, bias_of, in_blocks, whole

_PACKING = 6  # products that take as long as to lay out one value


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of the input that rows of the answer are made from, as they are laid out.

    Args:
        size: of the input.
        kernel: of the convolution, and so on.
        stride: likewise.
        padding: likewise.
        answer: voxels of the answer.
    """

    size: Size
    kernel: Size
    stride: Size
    padding: Size
    answer: Size

    @property
    def pitch(self) -> int:
        """Values from a row to the next: all that a row of the answer reads, and all of one of the input."""
        read = self.answer[2] + (self.kernel[2] - 1) // self.stride[2]
        return max(read, -(-(self.size[2] + self.padding[2]) // self.stride[2]))

    def height(self, together: int) -> int:
        """Values of one phase along H, for so many rows of the answer."""
        return (together + (self.kernel[1] - 1) // self.stride[1]) * self.pitch

    def odd(self, together: int) -> int:
        """Values of one phase along W."""
        return self.stride[1] * self.height(together)

    def depth(self, together: int) -> int:
        """Values of one row along D."""
        return self.stride[2] * self.odd(together)

    def length(self, together: int, lanes: int) -> int:
        """Values of the rows of the answer, one after the other, in whole vectors."""
        return whole((together - 1) * self.pitch + self.answer[2], lanes)

    def taps(self, together: int) -> NDArray[np.int64]:
        """Where the first value of each tap of the kernel is."""
        depth, odd, height = self.depth(together), self.odd(together), self.height(together)
        d = np.arange(self.kernel[0]) * depth
        across = np.arange(self.kernel[1])
        h = across % self.stride[1] * height + across // self.stride[1] * self.pitch
        along = np.arange(self.kernel[2])
        w = along % self.stride[2] * odd + along // self.stride[2]
        return np.ascontiguousarray((d[:, None, None] + h[:, None] + w).reshape(-1), np.int64)

    def together(self, inputs: int, channels: int, registers: Registers) -> int:
        """How many rows of the answer are best made at once."""

        def cost(n: int) -> tuple[float, int]:
            products = self.length(n, registers.lanes) * math.prod(self.kernel) * channels
            laid_out = ((n - 1) * self.stride[1] + self.kernel[1]) * self.kernel[0] * self.size[2]
            return (products + _PACKING * laid_out) / n, -n

        able = [
            n
            for n in range(1, self.answer[1] + 1)
            if n == 1 or 4 * inputs * self.kernel[0] * self.depth(n) <= CACHE
        ]
        return min(able, key=cost)


def plan_convolution(
    machine: Machine, weight: Reals, bias: Reals | None, size: Size, *, stride: Size, padding: Size
) -> Layer:
    """A convolution with weights (K,C,*kernel)."""
    answers, _, *kernel = weight.shape
    answer = answer_of(size, kernel, stride, padding)
    rows = Rows(size=size, kernel=_size(kernel), stride=stride, padding=padding, answer=answer)
    return _plan(
        machine,
        weight,
        rows,
        shape=(answers, *answer),
        bias=bias_of(bias, answers),
        places=np.arange(answers) * math.prod(answer),
        spread=(1, 1, 1),
    )


def plan_transposed(
    machine: Machine, weight: Reals, bias: Reals | None, size: Size, *, stride: Size
) -> Layer:
    """A transposed convolution with weights (C,K,*stride)."""
    inputs, answers, kd, kh, kw = weight.shape
    shape = (answers, size[0] * kd, size[1] * kh, size[2] * kw)
    _, depth, height, width = shape
    # A unit is a channel's rows of one phase along D and H; its phases along W follow each other.
    spread = weight.transpose(2, 3, 1, 4, 0).reshape(-1, inputs, 1, 1, 1)
    phases = np.arange(kd)[:, None, None] * height * width + np.arange(kh)[:, None] * width
    places = phases + np.arange(answers) * depth * height * width
    once = (1, 1, 1)
    return _plan(
        machine,
        spread,
        Rows(size=size, kernel=once, stride=once, padding=(0, 0, 0), answer=size),
        shape=shape,
        bias=np.tile(bias_of(bias, answers), kd * kh),
        places=places.reshape(-1),
        spread=stride,
    )


def answer_of(size: Size, kernel: Sequence[int], stride: Size, padding: Size) -> Size:
    """Voxels of a convolution's answer; below 1 where there is none."""
    every = zip(size, kernel, stride, padding, strict=True)
    return _size([(n + 2 * p - k) // s + 1 for n, k, s, p in every])


def _plan(
    machine: Machine,
    weight: Reals,
    rows: Rows,
    *,
    shape: tuple[int, int, int, int],
    bias: Reals,
    places: NDArray[np.int64],
    spread: Size,
) -> Layer:
    """Rows times weights (channels,C,*kernel), written spread over so many voxels each."""
    channels, inputs = weight.shape[:2]
    registers, phases = machine.registers, spread[2]
    together = rows.together(inputs, channels, registers)
    length = rows.length(together, registers.lanes)
    taps, v_row = rows.taps(together), rows.kernel[0] * rows.depth(together)
    groups = -(-rows.answer[1] // together)
    _, _, height, width = shape
    return Layer(
        machine=machine,
        kernel="spread" if phases == 2 else "strided" if rows.stride[2] == 2 else "direct",
        values={
            "inputs": inputs,
            "in_depth": rows.size[0],
            "in_height": rows.size[1],
            "in_width": rows.size[2],
            "step_d": rows.stride[0],
            "step_h": rows.stride[1],
            "before_d": rows.padding[0],
            "before_h": rows.padding[1],
            "before_w": rows.padding[2],
            "kernel_d": rows.kernel[0],
            "kernel_h": rows.kernel[1],
            "u": in_blocks(weight.reshape(channels, inputs, -1), registers.channels),
            "taps": taps,
            "tap_count": len(taps),
            "v_row": v_row,
            "v_depth": rows.depth(together),
            "v_odd": rows.odd(together),
            "v_height": rows.height(together),
            "pitch": rows.pitch,
            "length": length,
            "bias": bias,
            "places": np.ascontiguousarray(places, np.int64),
            "units": channels // phases,
            "out_d": spread[0] * height * width,
            "out_h": spread[1] * width,
            "rows": rows.answer[1],
            "width": rows.answer[2],
            "together": together,
            "groups": groups,
        },
        tasks=rows.answer[0] * groups,
        shape=shape,
        units=channels // phases,
        # The last vector of the last tap reads beyond the rows.
        rows=(inputs * v_row + length + rows.pitch, CHUNK * registers.channels * length),
    )


def _size(values: Sequence[int]) -> Size:
    depth, height, width = values
    return depth, height, width

"""Convolutions of 3 x 3 x 3 by Winograd's method."""

import numpy as np

from medseg_winograd.kernels.winograd import CHUNK, POINTS, TILE
from medseg_winograd.layers import Layer, Reals, Size
from medseg_winograd.machine import Machine
from medseg_winograd.plans.layout import CACHE, bias_of, in_blocks, odd_lines, whole

# G of F(4, 3), arXiv 1509.09308, equation 13.
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


def pays(kernel: Size, stride: Size, padding: Size, size: Size) -> bool:
    """Whether a convolution is one of 3 x 3 x 3 that keeps the size, and of which no tile is mostly empty."""
    usual = (kernel, stride, padding) == ((3, 3, 3), (1, 1, 1), (1, 1, 1))
    return usual and min(size[:2]) >= 2 * TILE


def plan(machine: Machine, weight: Reals, bias: Reals | None, size: Size) -> Layer:
    """A convolution with weights (K,C,3,3,3), stride 1 and padding 1."""
    answers, inputs = weight.shape[:2]
    depth, height, width = size
    registers, points, strip = machine.registers, POINTS**2, width + 2
    tiles = -(-height // TILE)

    def length_of(n: int) -> int:
        return whole(n * strip - 2, registers.lanes)

    able = (n for n in range(1, tiles + 1) if n == 1 or 4 * points * inputs * n * strip <= CACHE)
    together = max(able, key=lambda n: (n * width / length_of(n), n))
    length, v_row = length_of(together), together * strip
    v_apart = odd_lines(inputs * v_row)
    m_apart = odd_lines(CHUNK * registers.channels * length)
    groups = -(-tiles // together)
    return Layer(
        machine=machine,
        kernel="winograd",
        values={
            "inputs": inputs,
            "u": in_blocks(_transformed(weight), registers.channels),
            "bias": bias_of(bias, answers),
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
        tasks=-(-depth // TILE) * groups,
        shape=(answers, *size),
        units=answers,
        # The last vector of the last tap reads beyond the rows.
        rows=(points * v_apart + length, points * m_apart),
    )


def _transformed(weight: Reals) -> Reals:
    """G g G^T of the weights (K,C,D,H,W) along D and H: (K,POINTS^2,C,W)."""
    planes = np.moveaxis(weight, 4, 2).reshape(-1, 9).astype(np.float64)
    points = (planes @ np.kron(_G, _G).T).reshape(*weight.shape[:2], 3, -1)
    return np.moveaxis(points, 3, 1).astype(np.float32)

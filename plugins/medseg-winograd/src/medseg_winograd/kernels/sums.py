"""What a norm needs to know of an answer, gathered while it is written: its sum and the sum of its squares.

In double precision, in which squares of float32 are exact: in single, the variance of a channel with a large
mean, or of one with a single bright voxel, would be lost.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from medseg_winograd.kernels.emit import Emitter, vector, zeros

RECORD = 2  # values of float64
DOUBLE = ir.DoubleType()


def none(widths: Sequence[int]) -> list[Any]:
    """Nothing yet: a sum and a sum of squares for each width of vector."""
    return [zeros(width, DOUBLE) for width in widths for _ in range(2)]


def add(e: Emitter, sums: Sequence[Any], values: Any, *, lanes: int, known: Any = None) -> list[Any]:
    """A vector of an answer added to its two sums, where it is known to belong to it."""
    if known is not None:
        values = e.build.select(known, values, zeros(lanes))
    exact = e.build.fpext(values, vector(lanes, DOUBLE))
    return [e.build.fadd(sums[0], exact), e.multiply_add(exact, exact, sums[1])]


def write(e: Emitter, sums: Sequence[Any], *, widths: Sequence[int], place: Any) -> None:
    """Write the record."""
    for number in range(RECORD):
        total = zeros(1, DOUBLE)
        for n, width in enumerate(widths):
            total = e.build.fadd(total, e.total(sums[RECORD * n + number], width))
        e.build.store(total, e.at(place, *[ir.Constant(ir.IntType(64), number)], kind=DOUBLE), align=8)

"""What a norm needs to know of an answer, gathered while it is written: how far it is from its first value.

Of squares of the values themselves, float32 would lose the variance where the mean is large.
"""

from collections.abc import Sequence
from typing import Any

from medseg_winograd.kernels.emit import Emitter, index, real, zeros

RECORD = 3  # values: the first one, the sum of all distances from it, the sum of their squares


def none(widths: Sequence[int]) -> list[Any]:
    """Nothing yet: a sum and a sum of squares for each width of vector."""
    return [zeros(width) for width in widths for _ in range(2)]


def add(
    e: Emitter, sums: Sequence[Any], values: Any, *, first: Any, lanes: int, known: Any = None
) -> list[Any]:
    """A vector of an answer added to its two sums, where it is known to belong to it."""
    apart = e.build.fsub(values, e.spread(first, lanes))
    if known is not None:
        apart = e.build.select(known, apart, zeros(lanes))
    return [e.build.fadd(sums[0], apart), e.multiply_add(apart, apart, sums[1])]


def write(e: Emitter, sums: Sequence[Any], *, first: Any, widths: Sequence[int], place: Any) -> None:
    """Write the record."""
    e.store(first, place)
    for number in range(2):
        total = real(0)
        for n, width in enumerate(widths):
            total = e.build.fadd(total, e.total(sums[2 * n + number], width))
        e.store(total, e.at(place, index(1 + number)))

"""Small things to write LLVM's code with: loops, vectors, addresses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

REAL, INDEX, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()
Values = Sequence[Any]
Arguments = Mapping[str, Any]
"""Names and types of a function's arguments, in order."""

GIVEN: Arguments = {
    # Tasks from the first to before the last.
    "first": INDEX,
    "last": INDEX,
    "images": POINTER,  # of each channel of the input its address,
    "scale": POINTER,  # and how its values are seen
    "shift": POINTER,
    "slope": POINTER,
}


@dataclass(frozen=True, kw_only=True)
class Registers:
    """How a processor's vector registers are used.

    Args:
        lanes: float32 values in one of them.
        channels: of the answer that are summed at once,
        vectors: of this many registers each.
    """

    lanes: int
    channels: int
    vectors: int

    @property
    def widths(self) -> list[int]:
        """Lanes of the vectors that a row is cut into: the widest, then narrower ones for what is left."""
        return [width for width in (16, 8, 4, 1) if width <= self.lanes]


def index(value: int) -> Any:
    """A constant index."""
    return ir.Constant(INDEX, value)


def real(value: float) -> Any:
    """A constant of float32."""
    return ir.Constant(REAL, value)


def vector(lanes: int, kind: Any = REAL) -> Any:
    """The type of so many values."""
    return kind if lanes == 1 else ir.VectorType(kind, lanes)


def zeros(lanes: int, kind: Any = REAL) -> Any:
    """So many zeros."""
    return ir.Constant(kind, 0.0) if lanes == 1 else ir.Constant(vector(lanes, kind), None)


class Emitter:
    """Writes the body of one function of LLVM, which returns nothing.

    Args:
        module: that the function is added to.
        name: of the function.
        arguments: that it takes; their values are in ``given``.
    """

    def __init__(self, module: ir.Module, name: str, arguments: Arguments) -> None:
        self._module = module
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), list(arguments.values())), name)
        self.given = dict(zip(arguments, self.function.args, strict=True))
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))

    def loop(
        self,
        start: Any,
        stop: Any,
        step: int,
        body: Callable[..., Values | None],
        carried: Values = (),
    ) -> list[Any]:
        """``for n in range(start, stop, step): carried = body(n, *carried)``; what is carried at the end."""
        build, before = self.build, self.build.block
        head, inside, after = (self.function.append_basic_block(name) for name in ("head", "body", "after"))
        build.branch(head)
        build.position_at_end(head)
        number = build.phi(INDEX)
        number.add_incoming(start, before)
        values = [build.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        build.cbranch(build.icmp_signed("<", number, stop), inside, after)
        build.position_at_end(inside)
        following = body(number, *values) or ()
        for phi, value in zip(values, following, strict=True):
            phi.add_incoming(value, build.block)
        number.add_incoming(build.add(number, index(step)), build.block)
        build.branch(head)
        build.position_at_end(after)
        return values

    def along(
        self, size: Any, widths: Sequence[int], body: Callable[..., Values | None], carried: Values = ()
    ) -> list[Any]:
        """``body(position, width, *its carried)`` over a row of values, by ever narrower vectors.

        Args:
            size: of the row.
            widths: lanes of the vectors, the widest first, 1 last.
            body: returns what it carries on.
            carried: as many values for each width, in order.
        """
        begin: Any = index(0)
        end: list[Any] = []
        share = len(carried) // len(widths)
        for number, width in enumerate(widths):
            rest = self.build.sub(size, begin)
            stop = self.build.add(begin, self.times(self.build.sdiv(rest, index(width)), width))

            def step(position: Any, *values: Any, width: int = width) -> Values | None:
                return body(position, width, *values)

            end += self.loop(begin, stop, width, step, carried[number * share : (number + 1) * share])
            begin = stop
        return end

    def sum(self, *values: Any) -> Any:
        """Indices added up."""
        total = values[0]
        for value in values[1:]:
            total = self.build.add(total, index(value) if isinstance(value, int) else value)
        return total

    def times(self, *values: Any) -> Any:
        """Indices multiplied."""
        total = values[0]
        for value in values[1:]:
            total = self.build.mul(total, index(value) if isinstance(value, int) else value)
        return total

    def least(self, a: Any, b: Any) -> Any:
        """The smaller of two indices."""
        return self.build.select(self.build.icmp_signed("<", a, b), a, b)

    def is_within(self, position: Any, size: Any) -> Any:
        """Whether ``0 <= position < size``."""
        return self.build.icmp_unsigned("<", position, size)

    def at(self, pointer: Any, *offsets: Any, kind: Any = REAL) -> Any:
        """The address so many values after another."""
        return self.build.gep(pointer, [self.sum(*offsets)], source_etype=kind)

    def load(self, pointer: Any, kind: Any = REAL) -> Any:
        """What is at an address; of a vector, wherever it begins."""
        return self.build.load(pointer, align=8 if kind in (INDEX, POINTER) else 4, typ=kind)

    def store(self, value: Any, pointer: Any) -> None:
        """Write to an address; a vector, wherever it begins."""
        self.build.store(value, pointer, align=4)

    def spread(self, value: Any, lanes: int) -> Any:
        """A vector of one value."""
        if lanes == 1:
            return value
        undefined = ir.Constant(vector(lanes), ir.Undefined)
        one = self.build.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        return self.shuffle(one, undefined, [0] * lanes)

    def shuffle(self, a: Any, b: Any, order: Sequence[int]) -> Any:
        """Values of two vectors, by their numbers in both, one after the other."""
        numbers = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), list(order))
        return self.build.shuffle_vector(a, b, numbers)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """The sum a * b + c, in one step where the processor has it."""
        kind = a.type
        count, one = (f"v{kind.count}", kind.element) if isinstance(kind, ir.VectorType) else ("", kind)
        name = f"llvm.fmuladd.{count}{'f32' if one == REAL else 'f64'}"
        function = self._module.globals.get(name)
        if function is None:
            function = ir.Function(self._module, ir.FunctionType(kind, [kind] * 3), name)
        return self.build.call(function, [a, b, c])

    def activated(self, values: Any, told: Values, lanes: int) -> Any:
        """Values * scale + shift, and what is then not above 0 times a slope; these three are told.

        A slope of 0 gives 0, also of what is infinite. What is no number stays none.
        """
        build, slope, integers = self.build, told[2], ir.IntType(32)
        scale, shift = (self.spread(value, lanes) for value in told[:2])
        scaled = self.multiply_add(values, scale, shift)
        zero = build.fcmp_ordered("==", slope, real(0))
        mask = build.bitcast(build.select(zero, ir.Constant(integers, 0), ir.Constant(integers, -1)), REAL)
        bits = integers if lanes == 1 else ir.VectorType(integers, lanes)
        below = build.bitcast(build.fmul(scaled, self.spread(slope, lanes)), bits)
        below = build.bitcast(build.and_(below, build.bitcast(self.spread(mask, lanes), bits)), vector(lanes))
        return build.select(build.fcmp_ordered("<=", scaled, zeros(lanes)), below, scaled)

    def total(self, values: Any, lanes: int) -> Any:
        """All values of a vector added up."""
        if lanes == 1:
            return values
        sums = self.build.extract_element(values, ir.Constant(ir.IntType(32), 0))
        for lane in range(1, lanes):
            one = self.build.extract_element(values, ir.Constant(ir.IntType(32), lane))
            sums = self.build.fadd(sums, one)
        return sums

    def end(self) -> ir.Function:
        """Return from the function."""
        self.build.ret_void()
        return self.function

"""Convolutions as products of a matrix and shifted rows: any kernel, strides of 1 or 2 along W.

The rows of the input that some rows of the answer need are scaled, activated and laid out so that each tap
of the kernel is one place to read vectors from: padded with zeros and, where the stride is 2, values of even
and of odd places apart. A transposed convolution whose kernel is its stride is a convolution of 1 x 1 x 1
with more channels, which are then spread over the voxels.
"""

from typing import Any

from llvmlite import ir

from medseg_winograd.kernels import sums
from medseg_winograd.kernels.emit import GIVEN, INDEX, POINTER, REAL, Emitter, Registers, index, vector, zeros

CHUNK = 2  # blocks of channels whose rows wait in the cache

ARGUMENTS = {
    **GIVEN,  # tasks: one row along D, ``together`` rows along H
    "inputs": INDEX,
    "in_depth": INDEX,
    "in_height": INDEX,
    "in_width": INDEX,
    "step_d": INDEX,  # the stride
    "step_h": INDEX,
    "before_d": INDEX,  # the padding
    "before_h": INDEX,
    "before_w": INDEX,
    "kernel_d": INDEX,
    "kernel_h": INDEX,
    "u": POINTER,  # (blocks, inputs, tap_count, registers.channels): weights
    "taps": POINTER,  # of each tap, where its first value is in ``v``
    "tap_count": INDEX,
    "v": POINTER,  # (inputs, v_row), in the beginning all zeros
    "v_row": INDEX,
    "v_depth": INDEX,  # within a v_row: from one row along D to the next,
    "v_odd": INDEX,  # from even to odd values along W, where these are apart,
    "v_height": INDEX,  # from one phase along H to the next,
    "pitch": INDEX,  # and from a row of it to the next
    "m": POINTER,  # (CHUNK * registers.channels, length)
    "length": INDEX,  # of the rows that are done together, in whole vectors
    "bias": POINTER,  # of each unit: a channel of the answer, or a row of one
    "places": POINTER,  # of each unit, where it begins in ``out``
    "units": INDEX,
    "out": POINTER,
    "out_d": INDEX,  # from a row along D to the next
    "out_h": INDEX,
    "rows": INDEX,  # along H, that there are
    "width": INDEX,  # of a row
    "sums": POINTER,  # (tasks, units, sums.RECORD)
    "together": INDEX,
    "groups": INDEX,
}


def write_direct(module: ir.Module, registers: Registers, multiply: ir.Function) -> None:
    """Add ``direct``, ``strided`` (by 2 along W) and ``spread`` (over 2 voxels along W) to a module."""
    plain, apart = (_write_pack(module, registers, step) for step in (1, 2))
    lay, interleave = (_write_lay(module, registers, phases) for phases in (1, 2))
    _write_whole(module, "direct", registers, calls=(plain, multiply, lay), phases=1)
    _write_whole(module, "strided", registers, calls=(apart, multiply, lay), phases=1)
    _write_whole(module, "spread", registers, calls=(plain, multiply, interleave), phases=2)


def _write_whole(
    module: ir.Module,
    name: str,
    registers: Registers,
    *,
    calls: tuple[ir.Function, ir.Function, ir.Function],
    phases: int,
) -> None:
    pack, multiply, lay = calls
    e = Emitter(module, name, ARGUMENTS)
    g, b, at_once = e.given, e.build, CHUNK * registers.channels
    channels = e.times(g["units"], phases)
    block = e.times(g["inputs"], g["tap_count"])

    def task(n: Any) -> None:
        d, h = b.sdiv(n, g["groups"]), e.times(b.srem(n, g["groups"]), g["together"])
        rows = e.least(b.sub(g["rows"], h), g["together"])
        needed = e.sum(e.times(e.sum(rows, -1), g["step_h"]), g["kernel_h"])
        low_d = b.sub(e.times(d, g["step_d"]), g["before_d"])
        low_h = b.sub(e.times(h, g["step_h"]), g["before_h"])

        def one_input(c: Any) -> None:
            image = e.load(e.at(g["images"], c, kind=POINTER), POINTER)
            told = [e.load(e.at(g[value], c)) for value in ("scale", "shift", "slope")]

            def one_depth(k: Any) -> None:
                place = e.at(g["v"], e.times(c, g["v_row"]), e.times(k, g["v_depth"]))
                box = [e.sum(low_d, k), low_h, g["in_depth"], g["in_height"], g["in_width"]]
                steps = [g["step_h"], g["before_w"], g["v_odd"], g["v_height"], g["pitch"]]
                b.call(pack, [image, *told, *box, needed, *steps, place])

            e.loop(index(0), g["kernel_d"], 1, one_depth)

        e.loop(index(0), g["inputs"], 1, one_input)

        def one_chunk(k: Any) -> None:
            count = e.least(b.sub(channels, k), index(at_once))

            def one_block(c: Any) -> None:
                u = e.at(g["u"], e.times(e.sum(k, c), block))
                m = e.at(g["m"], e.times(c, g["length"]))
                given = [g["v"], g["v_row"], u, g["taps"], g["tap_count"], g["inputs"], m, g["length"]]
                b.call(multiply, given)

            e.loop(index(0), count, registers.channels, one_block)

            def one_unit(i: Any) -> None:
                unit = e.sum(b.sdiv(k, index(phases)), i)
                begin = e.load(e.at(g["places"], unit, kind=INDEX), INDEX)
                out = e.at(g["out"], begin, e.times(d, g["out_d"]), e.times(h, g["out_h"]))
                record = e.at(
                    g["sums"], e.times(e.sum(e.times(n, g["units"]), unit), sums.RECORD), kind=sums.DOUBLE
                )
                m, bias = e.at(g["m"], e.times(i, g["length"], phases)), e.load(e.at(g["bias"], unit))
                sizes = [rows, g["width"], g["pitch"], g["out_h"]]
                b.call(lay, [m, g["length"], *sizes, bias, out, record])

            e.loop(index(0), b.sdiv(count, index(phases)), 1, one_unit)

        e.loop(index(0), channels, at_once, one_chunk)

    e.loop(g["first"], g["last"], 1, task)
    e.end()


def _write_pack(module: ir.Module, registers: Registers, step: int) -> ir.Function:
    """Some rows of one channel along W: scaled, activated, 0 beyond the image; by turns, if the step is 2."""
    e = Emitter(
        module,
        f"pack{step}",
        {"image": POINTER, "scale": REAL, "shift": REAL, "slope": REAL, "d": INDEX, "h": INDEX}
        | {"depth": INDEX, "height": INDEX, "width": INDEX, "rows": INDEX, "step_h": INDEX}
        | {"before": INDEX, "v_odd": INDEX, "v_height": INDEX, "pitch": INDEX, "out": POINTER},
    )
    g, b = e.given, e.build
    in_depth = e.is_within(g["d"], g["depth"])
    told = [g["scale"], g["shift"], g["slope"]]

    def row(r: Any) -> None:
        h = e.sum(g["h"], r)
        known = b.and_(in_depth, e.is_within(h, g["height"]))
        begin = e.times(e.sum(e.times(g["d"], g["height"]), h), g["width"])
        begin = b.select(known, begin, index(0))
        phase, line = b.srem(r, g["step_h"]), b.sdiv(r, g["step_h"])
        place = e.at(g["out"], e.times(phase, g["v_height"]), e.times(line, g["pitch"]))

        def seen(w: Any, width: int) -> Any:
            values = e.load(e.at(g["image"], begin, w), vector(width))
            return b.select(known, e.activated(values, told, width), zeros(width))

        if step == 1:

            def copy(w: Any, width: int) -> None:
                e.store(seen(w, width), e.at(place, g["before"], w))

            e.along(g["width"], registers.widths, copy)
            return

        def turn(w: Any) -> Any:
            """Where a value of an even place, w = 0, or an odd one, w = 1, goes."""
            padded = e.sum(g["before"], w)
            odd, half = b.srem(padded, index(2)), b.sdiv(padded, index(2))
            return e.at(place, e.times(odd, g["v_odd"]), half)

        even, odd = turn(0), turn(1)

        def part(t: Any, width: int) -> None:
            low, high = (seen(e.sum(e.times(t, 2), n * width), width) for n in range(2))
            if width > 1:
                both = [e.shuffle(low, high, range(n, 2 * width, 2)) for n in range(2)]
            else:
                both = [low, high]
            e.store(both[0], e.at(even, t))
            e.store(both[1], e.at(odd, t))

        half = b.sdiv(g["width"], index(2))
        e.along(half, registers.widths, part)

        def last(w: Any) -> None:
            e.store(seen(w, 1), e.at(even, half))

        e.loop(e.times(half, 2), g["width"], 1, last)

    e.loop(index(0), g["rows"], 1, row)
    return e.end()


def _write_lay(module: ir.Module, registers: Registers, phases: int) -> ir.Function:
    """Rows of one channel of the answer, or of two that are even and odd voxels of one; and their sums."""
    e = Emitter(
        module,
        f"lay{phases}",
        {"m": POINTER, "length": INDEX, "rows": INDEX, "width": INDEX, "pitch": INDEX, "out_h": INDEX}
        | {"bias": REAL, "out": POINTER, "record": POINTER},
    )
    g, b, widths = e.given, e.build, registers.widths

    def row(r: Any, *carried: Any) -> list[Any]:
        place, out = e.at(g["m"], e.times(r, g["pitch"])), e.at(g["out"], e.times(r, g["out_h"]))

        def body(w: Any, width: int, *so_far: Any) -> list[Any]:
            totals, found = list(so_far), []
            for phase in range(phases):
                values = e.load(e.at(place, e.times(g["length"], phase), w), vector(width))
                found.append(b.fadd(values, e.spread(g["bias"], width)))
                totals = sums.add(e, totals, found[-1], lanes=width)
            if phases == 1:
                e.store(found[0], e.at(out, w))
            elif width == 1:
                for phase in range(2):
                    e.store(found[phase], e.at(out, e.times(w, 2), phase))
            else:
                order = [n for pair in zip(range(width), range(width, 2 * width), strict=True) for n in pair]
                e.store(e.shuffle(found[0], found[1], order), e.at(out, e.times(w, 2)))
            return totals

        return e.along(g["width"], widths, body, carried)

    totals = e.loop(index(0), g["rows"], 1, row, sums.none(widths))
    sums.write(e, totals, widths=widths, place=g["record"])
    return e.end()

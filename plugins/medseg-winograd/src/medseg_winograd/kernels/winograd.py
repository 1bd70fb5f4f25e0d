"""Winograd's convolution of 3 x 3 x 3 with F(4 x 4, 3 x 3) along D and H, and W as the vectors' axis.

A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, arXiv 1509.09308. Of 27
products of a voxel and a weight 6.75 are left. Rows along W stay as they are in memory, so the transforms
are sums of vectors, and the three taps along W are three places to read from.
"""

from typing import Any

from llvmlite import ir

from medseg_winograd.kernels import sums
from medseg_winograd.kernels.emit import (
    GIVEN,
    INDEX,
    POINTER,
    REAL,
    Emitter,
    Registers,
    index,
    real,
    vector,
    zeros,
)

TILE = 4  # rows along D, and along H, that one tile of the answer has
POINTS = 6  # that it takes
CHUNK = 2  # blocks of channels whose tiles wait in the cache

ARGUMENTS = {
    **GIVEN,  # tasks: TILE rows along D, ``together`` tiles along H
    "inputs": INDEX,
    "u": POINTER,  # (blocks, POINTS^2, inputs, 3, registers.channels): weights, transformed
    "bias": POINTER,
    "answers": INDEX,
    "out": POINTER,  # (answers, depth, height, width)
    "sums": POINTER,  # (tasks, answers, sums.RECORD)
    "depth": INDEX,
    "height": INDEX,
    "width": INDEX,
    "together": INDEX,
    "groups": INDEX,  # of tiles along H
    "length": INDEX,  # of those tiles' rows, one after the other, in whole vectors
    "v_row": INDEX,
    "taps": POINTER,  # 0, 1, 2
    "v": POINTER,  # (POINTS^2, v_apart), of which (inputs, v_row) are used; in the beginning all zeros
    "v_apart": INDEX,
    "m": POINTER,  # (POINTS^2, m_apart), of which (CHUNK * registers.channels, length) are used
    "m_apart": INDEX,
}


def write_winograd(module: ir.Module, registers: Registers, multiply: ir.Function) -> None:
    """Add ``winograd`` to a module."""
    before, after = _write_before(module, registers), _write_after(module, registers)
    e = Emitter(module, "winograd", ARGUMENTS)
    g, b = e.given, e.build
    sizes = [g["depth"], g["height"], g["width"]]
    v_apart, m_apart, at_once = g["v_apart"], g["m_apart"], CHUNK * registers.channels
    point = e.times(g["inputs"], 3 * registers.channels)
    across = b.sdiv(e.sum(g["height"], TILE - 1), index(TILE))

    def task(n: Any) -> None:
        tile = e.times(b.srem(n, g["groups"]), g["together"])
        tiles = e.least(b.sub(across, tile), g["together"])
        d, h = e.times(b.sdiv(n, g["groups"]), TILE), e.times(tile, TILE)

        def one_input(c: Any) -> None:
            image = e.load(e.at(g["images"], c, kind=POINTER), POINTER)
            told = [e.load(e.at(g[name], c)) for name in ("scale", "shift", "slope")]

            def one_tile(t: Any) -> None:
                top = e.sum(h, e.times(t, TILE), -1)
                place = e.at(g["v"], e.times(c, g["v_row"]), e.times(t, e.sum(g["width"], 2)), 1)
                b.call(before, [image, *told, e.sum(d, -1), top, *sizes, place, v_apart])

            e.loop(index(0), tiles, 1, one_tile)

        e.loop(index(0), g["inputs"], 1, one_input)

        def one_chunk(k: Any) -> None:
            count = e.least(b.sub(g["answers"], k), index(at_once))

            def one_point(x: Any) -> None:
                def one_block(c: Any) -> None:
                    block = b.sdiv(e.sum(k, c), index(registers.channels))
                    u = e.at(g["u"], e.times(e.sum(e.times(block, POINTS**2), x), point))
                    v = e.at(g["v"], e.times(x, v_apart))
                    m = e.at(g["m"], e.times(x, m_apart), e.times(c, g["length"]))
                    b.call(multiply, [v, g["v_row"], u, g["taps"], index(3), g["inputs"], m, g["length"]])

                e.loop(index(0), count, registers.channels, one_block)

            e.loop(index(0), index(POINTS**2), 1, one_point)

            def one_answer(c: Any) -> None:
                at = e.sum(k, c)
                out = e.at(g["out"], e.times(at, *sizes))
                record = e.at(
                    g["sums"], e.times(e.sum(e.times(n, g["answers"]), at), sums.RECORD), kind=sums.DOUBLE
                )
                m, bias = e.at(g["m"], e.times(c, g["length"])), e.load(e.at(g["bias"], at))
                b.call(after, [m, m_apart, out, bias, d, h, tiles, *sizes, record])

            e.loop(index(0), count, 1, one_answer)

        e.loop(index(0), g["answers"], at_once, one_chunk)

    e.loop(g["first"], g["last"], 1, task)
    e.end()


def _write_before(module: ir.Module, registers: Registers) -> ir.Function:
    """One tile of one channel: scaled, activated, 0 beyond the image; transformed along D and H."""
    e = Emitter(
        module,
        "before",
        {"image": POINTER, "scale": REAL, "shift": REAL, "slope": REAL, "d": INDEX, "h": INDEX}
        | {"depth": INDEX, "height": INDEX, "width": INDEX, "out": POINTER, "apart": INDEX},
    )
    g, b = e.given, e.build
    known, rows = {}, {}
    for i in range(POINTS):
        for j in range(POINTS):
            d, h = e.sum(g["d"], i), e.sum(g["h"], j)
            known[i, j] = b.and_(e.is_within(d, g["depth"]), e.is_within(h, g["height"]))
            row = e.times(e.sum(e.times(d, g["height"]), h), g["width"])
            rows[i, j] = b.select(known[i, j], row, index(0))

    def body(w: Any, width: int) -> None:
        def seen(i: int, j: int) -> Any:
            values = e.load(e.at(g["image"], rows[i, j], w), vector(width))
            values = e.activated(values, [g["scale"], g["shift"], g["slope"]], width)
            return b.select(known[i, j], values, zeros(width))

        columns = [_transform(e, [seen(i, j) for i in range(POINTS)], width) for j in range(POINTS)]
        for i in range(POINTS):
            for j, value in enumerate(_transform(e, [column[i] for column in columns], width)):
                e.store(value, e.at(g["out"], e.times(g["apart"], i * POINTS + j), w))

    e.along(g["width"], registers.widths, body)
    return e.end()


def _transform(e: Emitter, d: list[Any], lanes: int) -> list[Any]:
    """B^T d: 4 d0 - 5 d2 + d4, ... as in the paper's equation 12, factored."""
    b = e.build
    c = {n: e.spread(real(n), lanes) for n in (2.0, -2.0, 4.0, -4.0, -5.0)}
    even, odd = e.multiply_add(d[2], c[-4.0], d[4]), e.multiply_add(d[1], c[-4.0], d[3])
    outer, inner = b.fsub(d[4], d[2]), b.fsub(d[3], d[1])
    return [
        e.multiply_add(d[0], c[4.0], e.multiply_add(d[2], c[-5.0], d[4])),
        b.fadd(even, odd),
        b.fsub(even, odd),
        e.multiply_add(inner, c[2.0], outer),
        e.multiply_add(inner, c[-2.0], outer),
        e.multiply_add(d[1], c[4.0], e.multiply_add(d[3], c[-5.0], d[5])),
    ]


def _write_after(module: ir.Module, registers: Registers) -> ir.Function:
    """Tiles of one channel of the answer: transformed back, written, and their sums."""
    e = Emitter(
        module,
        "after",
        {"m": POINTER, "apart": INDEX, "out": POINTER, "bias": REAL, "d": INDEX, "h": INDEX}
        | {"tiles": INDEX, "depth": INDEX, "height": INDEX, "width": INDEX, "record": POINTER},
    )
    g, b, widths = e.given, e.build, registers.widths
    nowhere = b.alloca(vector(registers.lanes))

    def answers(place: Any, width: int) -> list[list[Any]]:
        def point(i: int, j: int) -> Any:
            return e.load(e.at(place, e.times(g["apart"], i * POINTS + j)), vector(width))

        columns = [_back(e, [point(i, j) for i in range(POINTS)], width) for j in range(POINTS)]
        bias = e.spread(g["bias"], width)
        rows = [_back(e, [column[i] for column in columns], width) for i in range(TILE)]
        return [[b.fadd(value, bias) for value in row] for row in rows]

    def tile(t: Any, *carried: Any) -> list[Any]:
        place = e.at(g["m"], e.times(t, e.sum(g["width"], 2)))
        known, rows = [], []
        for i in range(TILE):
            for j in range(TILE):
                d, h = e.sum(g["d"], i), e.sum(g["h"], e.times(t, TILE), j)
                known.append(b.and_(e.is_within(d, g["depth"]), e.is_within(h, g["height"])))
                rows.append(e.at(g["out"], e.times(e.sum(e.times(d, g["height"]), h), g["width"])))

        def body(w: Any, width: int, *so_far: Any) -> list[Any]:
            found = [value for row in answers(e.at(place, w), width) for value in row]
            totals = list(so_far)
            for inside, row, value in zip(known, rows, found, strict=True):
                e.store(value, b.select(inside, e.at(row, w), nowhere))
                totals = sums.add(e, totals, value, lanes=width, known=inside)
            return totals

        return e.along(g["width"], widths, body, carried)

    totals = e.loop(index(0), g["tiles"], 1, tile, sums.none(widths))
    sums.write(e, totals, widths=widths, place=g["record"])
    return e.end()


def _back(e: Emitter, m: list[Any], lanes: int) -> list[Any]:
    """A^T m."""
    b = e.build
    c = {n: e.spread(real(n), lanes) for n in (2.0, 4.0, 8.0)}
    even, odd = b.fadd(m[1], m[2]), b.fsub(m[1], m[2])
    wide, far = b.fadd(m[3], m[4]), b.fsub(m[3], m[4])
    return [
        b.fadd(b.fadd(m[0], even), wide),
        e.multiply_add(far, c[2.0], odd),
        e.multiply_add(wide, c[4.0], even),
        b.fadd(e.multiply_add(far, c[8.0], odd), m[5]),
    ]

"""The inner product that all convolutions here come down to."""

from typing import Any

from llvmlite import ir

from medseg_winograd.kernels.emit import INDEX, POINTER, Emitter, Registers, index, vector, zeros


def write_multiply(module: ir.Module, registers: Registers) -> ir.Function:
    """m[k][p] = sum over c, t of u[c][t][k] * v[c * v_row + taps[t] + p], for ``registers.channels`` k.

    ``length`` is a multiple of the lanes; ``v`` is read, and ``m`` written, that far.
    """
    e = Emitter(
        module,
        "multiply",
        {"v": POINTER, "v_row": INDEX, "u": POINTER, "taps": POINTER, "tap_count": INDEX}
        | {"inputs": INDEX, "m": POINTER, "length": INDEX},
    )
    g, b, lanes, channels = e.given, e.build, registers.lanes, registers.channels
    kind = vector(lanes)
    begin: Any = index(0)
    for vectors in (registers.vectors, 1):
        across = vectors * lanes
        stop = e.sum(begin, e.times(b.sdiv(b.sub(g["length"], begin), index(across)), across))

        def columns(p: Any, vectors: int = vectors) -> None:
            def one_input(c: Any, *sums: Any) -> list[Any]:
                row = e.at(g["v"], e.times(c, g["v_row"]), p)
                weights = e.at(g["u"], e.times(c, g["tap_count"], channels))

                def one_tap(t: Any, *sums: Any) -> list[Any]:
                    from_ = e.at(row, e.load(e.at(g["taps"], t, kind=INDEX), INDEX))
                    given = [e.load(e.at(from_, index(n * lanes)), kind) for n in range(vectors)]
                    places = [e.at(weights, e.times(t, channels), k) for k in range(channels)]
                    each = [e.spread(e.load(place), lanes) for place in places]
                    return [
                        e.multiply_add(each[n // vectors], given[n % vectors], total)
                        for n, total in enumerate(sums)
                    ]

                return e.loop(index(0), g["tap_count"], 1, one_tap, sums)

            sums = e.loop(index(0), g["inputs"], 1, one_input, [zeros(lanes)] * (channels * vectors))
            for number, value in enumerate(sums):
                k, n = divmod(number, vectors)
                e.store(value, e.at(g["m"], e.times(g["length"], k), p, n * lanes))

        e.loop(begin, stop, across, columns)
        begin = stop
    return e.end()

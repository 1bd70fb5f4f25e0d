"""Channels as what they stand for, for torch to go on with."""

from typing import Any

from llvmlite import ir

from medseg_winograd.kernels.emit import GIVEN, INDEX, POINTER, Emitter, Registers, vector

ARGUMENTS = {
    **GIVEN,  # tasks: a channel each
    "voxels": INDEX,
    "out": POINTER,  # (channels, voxels)
}


def write_settle(module: ir.Module, registers: Registers) -> None:
    """Add ``settle`` to a module."""
    e = Emitter(module, "settle", ARGUMENTS)
    g = e.given

    def channel(c: Any) -> None:
        image = e.load(e.at(g["images"], c, kind=POINTER), POINTER)
        told = [e.load(e.at(g[name], c)) for name in ("scale", "shift", "slope")]
        out = e.at(g["out"], e.times(c, g["voxels"]))

        def part(n: Any, width: int) -> None:
            values = e.load(e.at(image, n), vector(width))
            e.store(e.activated(values, told, width), e.at(out, n))

        e.along(g["voxels"], registers.widths, part)

    e.loop(g["first"], g["last"], 1, channel)
    e.end()

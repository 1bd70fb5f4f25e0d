"""The kernels as machine code of the processor at hand."""

import ctypes
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from medseg.atomic import write_bytes_whole
from medseg_winograd.kernels import direct, emit, settle, winograd
from medseg_winograd.kernels.emit import POINTER, Registers
from medseg_winograd.kernels.multiply import write_multiply

_KERNELS = {
    "settle": settle.ARGUMENTS,
    "winograd": winograd.ARGUMENTS,
    **dict.fromkeys(("direct", "strided", "spread"), direct.ARGUMENTS),
}
_made: dict[Registers, "Machine"] = {}
_making = threading.Lock()


@dataclass(frozen=True)
class Machine:
    """Kernels that can be called; they let go of Python's lock.

    Args:
        registers: that they were written for.
        functions: of C, by name.
        code: what they are.
    """

    registers: Registers
    functions: Mapping[str, Callable[..., None]]
    code: bytes
    _engine: Any  # holds their memory

    def prepared(self, kernel: str, values: Mapping[str, Any]) -> "Prepared":
        """A kernel with its arguments, but for the numbers of tasks.

        Args:
            kernel: its name.
            values: by name; integers, and arrays, of which it is told where they begin.
        """
        given = tuple(values[name] for name in list(_KERNELS[kernel])[2:])
        numbers = tuple(v.ctypes.data if isinstance(v, np.ndarray) else v for v in given)
        return Prepared(self.functions[kernel], numbers, given)


@dataclass(frozen=True)
class Prepared:
    """A kernel that does some of its tasks.

    Args:
        function: of C.
        numbers: that it is told: sizes and addresses.
        held: arrays at these addresses.
    """

    function: Callable[..., None]
    numbers: tuple[int, ...]
    held: tuple[Any, ...]

    def __call__(self, first: int, last: int) -> None:
        """Do tasks from the first to before the last."""
        self.function(first, last, *self.numbers)


def registers_of(features: Mapping[str, bool], triple: str) -> Registers:
    """How to use the registers: AVX-512 has 32 of 16 values, AVX 16 of 8, ARM's NEON 32 of 4."""
    if features.get("avx512f"):
        return Registers(lanes=16, channels=8, vectors=3)
    if features.get("avx"):
        return Registers(lanes=8, channels=4, vectors=3)
    if triple.startswith(("aarch64", "arm64")):
        return Registers(lanes=4, channels=8, vectors=3)
    return Registers(lanes=4, channels=4, vectors=2)


def kernels(registers: Registers) -> str:
    """All kernels, as LLVM's text."""
    module = ir.Module("medseg_winograd")
    multiply = write_multiply(module, registers)
    winograd.write_winograd(module, registers, multiply)
    direct.write_direct(module, registers, multiply)
    settle.write_settle(module, registers)
    return str(module)


def machine(registers: Registers | None = None, *, saved: str = "") -> Machine:
    """The kernels for this processor, made ready once in a process.

    Args:
        registers: to use; as the processor has them, if None.
        saved: file that the machine code is kept in, and read from if it is there and is of this processor
            and of these kernels; none if empty.
    """
    found = registers or registers_of(llvm.get_host_cpu_features(), llvm.get_process_triple())
    seal, kept = _seal(found), Path(saved)
    with _making:
        known = _opened(kept, seal) if saved else None
        if found not in _made:
            _made[found] = _load(found, known or _compile(found))
        if saved and known is None:
            code = _made[found].code
            write_bytes_whole(kept, hashlib.sha256(seal + code).digest() + code)
    return _made[found]


def _seal(registers: Registers) -> bytes:
    """What machine code depends on: another processor, another LLVM or other kernels have another."""
    sources = [Path(__file__), *sorted(Path(emit.__file__).parent.glob("*.py"))]
    processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), llvm.get_process_triple()
    told = repr((processor, llvmlite.__version__, registers)).encode()
    return hashlib.sha256(b"\0".join([told, *(source.read_bytes() for source in sources)])).digest()


def _opened(kept: Path, seal: bytes) -> bytes | None:
    """The machine code of a file; None if there is none, or it is another's or damaged."""
    if not kept.is_file():
        return None
    data, size = kept.read_bytes(), hashlib.sha256().digest_size
    return data[size:] if hashlib.sha256(seal + data[size:]).digest() == data[:size] else None


def _compile(registers: Registers) -> bytes:
    target, module = _target(), llvm.parse_assembly(kernels(registers))
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    # What is worth a vector is written as one.
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
    passes = llvm.create_pass_builder(target, tuning)
    passes.getModulePassManager().run(module, passes)
    return bytes(target.emit_object(module))


def _load(registers: Registers, code: bytes) -> Machine:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return Machine(registers, {name: _function(engine, name) for name in _KERNELS}, code, engine)


def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def _function(engine: Any, name: str) -> Callable[..., None]:
    kinds = [ctypes.c_void_p if kind is POINTER else ctypes.c_int64 for kind in _KERNELS[name].values()]
    return ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(name))

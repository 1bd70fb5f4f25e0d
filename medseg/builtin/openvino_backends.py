"""OpenVINO on the CPU: in float32, in float16 or bfloat16 where the processor computes in it, and in int8.

Each factory takes a module in eval mode and an example of its input, and returns a callable with the
module's signature for inputs of that shape; torch's number of threads is used.
"""

import contextlib
import functools
import importlib
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from medseg.agreement import dice_over
from medseg.atomic import write_whole
from medseg.builtin.openvino_norms import average_in_blocks
from medseg.builtin.signal_stack import handle_signals_on_own_stack
from medseg.builtin.tracing import quiet
from medseg.errors import ContractError, ResourceError

Call = Callable[[Tensor], Tensor]

MOST_LAYERS = 16  # that int8 gives back to float32, one after the other, before it gives up


def openvino(module: nn.Module, example: Tensor, *, saved: str = "") -> Call:
    """The module in float32.

    Args:
        module: (B,C,*S) -> (B,K,*S).
        example: (B,C,*S).
        saved: file that the compiled network is kept in, and read from if it is there; none if empty.

    Raises:
        ResourceError: openvino is not installed.
    """
    return _call(saved, "f32", lambda: _exact(_convert(module, example)))


def openvino_float16(module: nn.Module, example: Tensor, *, saved: str = "") -> Call:
    """The module in float16.

    Args:
        module: (1,C,*S) -> (1,K,*S).
        example: (N,C,*S), N windows, of which the first gives the shape: nothing is calibrated.
        saved: as for ``openvino``.

    Raises:
        ResourceError: openvino is not installed, or the processor has no float16 arithmetic.
    """
    _refuse_without("FP16", "float16 arithmetic (AVX512-FP16 or AMX-FP16)")
    return _call(saved, "f16", lambda: _convert(module, example[:1]))


def openvino_bfloat16(module: nn.Module, example: Tensor, *, saved: str = "") -> Call:
    """The module in bfloat16: as ``openvino_float16``.

    Raises:
        ResourceError: openvino is not installed, or the processor has no bfloat16 arithmetic.
    """
    _refuse_without("BF16", "bfloat16 arithmetic (AVX512-BF16 or AMX-BF16)")
    return _call(saved, "bf16", lambda: _convert(module, example[:1]))


def _refuse_without(capability: str, arithmetic: str) -> None:
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if capability not in able:
        raise ResourceError(f"this processor has no {arithmetic}; OpenVINO finds {', '.join(able)}")


def openvino_int8(
    module: nn.Module, example: Tensor, *, saved: str = "", dice: float = 0.995, regions: bool = False
) -> Call:
    """The module in int8, quantised after training; the first and the last convolution stay in float32.

    Where its labels over all windows do not agree with float32, further layers go back to float32, those
    first that help most, until they do or ``MOST_LAYERS`` have.

    Args:
        module: (1,C,*S) -> (1,K,*S).
        example: (N,C,*S), N windows: all are to agree on, and all but the first to calibrate with.
        saved: as for ``openvino``.
        dice: that the labels of all windows together shall reach.
        regions: as of ``medseg.agreement``.

    Raises:
        ResourceError: openvino or nncf is not installed.
        ContractError: no layer could stay in int8.
    """
    return _call(saved, "f32", lambda: _quantise(module, example, dice, regions=regions))


def _quantise(module: nn.Module, windows: Tensor, dice: float, *, regions: bool) -> Any:
    _core()  # before nncf: it makes others, which must go before this one, and would import what reports home
    try:
        import nncf
    except ImportError as error:
        raise ResourceError("the backend openvino-int8 needs a package: pip install nncf") from error
    nncf.set_log_level(logging.ERROR)
    each = windows.chunk(len(windows))
    model = _convert(module, each[0])
    with torch.inference_mode():
        expected = [module(window) for window in each]

    def agree(compiled: Any, numbers: Iterable[int]) -> tuple[float, list[float]]:
        """Of some windows together, which decides, and of each, by which layers are put in order."""
        pairs = [(torch.from_numpy(compiled(each[n].numpy())[0]), expected[n]) for n in numbers]
        found = [dice_over(some, regions=regions) for some in (pairs, *([pair] for pair in pairs))]
        together, *alone = (dice if one is None else one for one in found)
        return min(together, dice), alone  # what is better is as good

    def window_of(number: int) -> Any:
        return each[number].numpy()

    numbers = list(range(len(each)))
    calibrating = numbers[1:] or numbers
    convolutions = [op for op in model.get_ordered_ops() if "Convolution" in op.get_type_name()]
    ends = [convolutions[n].get_friendly_name() for n in (0, -1)] if convolutions else []
    with contextlib.redirect_stdout(io.StringIO()), quiet():  # its bars would be among a command's JSON
        quantised = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(calibrating, window_of),
            nncf.Dataset(numbers, window_of),
            agree,
            max_drop=0.0,
            drop_type=nncf.DropType.ABSOLUTE,
            subset_size=len(calibrating),
            ignored_scope=nncf.IgnoredScope(names=list(dict.fromkeys(ends))),
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                max_num_iterations=MOST_LAYERS
            ),
        )
    if not any(op.get_type_name() == "FakeQuantize" for op in quantised.get_ops()):
        raise ContractError(f"no layer of the network can be in int8 at a Dice of {dice} to float32")
    return quantised


def _import_openvino() -> ModuleType:
    # Importing openvino reports its use to its makers, unless this module of it cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as Python's own docs say
    try:
        import openvino as package
    except ImportError as error:
        raise ResourceError("the backend openvino needs a package: pip install openvino") from error
    return cast(ModuleType, package)


@functools.cache
def _core() -> Any:
    """The process's one core, which is never let go.

    OpenVINO's part for the CPU gives the thread an alternate stack for signals when a core first uses it, and
    takes it back with the core, to the one before. When cores go in another order than they came, that
    one is gone, and the next signal, Ctrl-C or the end of a child, is a segmentation fault (2026.4).
    """
    core = _import_openvino().Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # loads that part now
    handle_signals_on_own_stack()
    return core


def _convert(module: nn.Module, example: Tensor) -> Any:
    """The module as OpenVINO's model, for the example's shape."""
    with torch.inference_mode(), quiet():
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch's
        return _import_openvino().convert_model(traced, example_input=example, input=[tuple(example.shape)])


def _exact(model: Any) -> Any:
    return average_in_blocks(model, importlib.import_module("openvino.opset13"))


def _call(saved: str, hint: str, make: Callable[[], Any]) -> Call:
    """A compiled network as a function of tensors; ``make`` makes the model if none is saved."""
    settings = {
        "INFERENCE_PRECISION_HINT": hint,  # its default is bfloat16 or float16 where the hardware has it
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    core, kept = _core(), Path(saved)
    ready = None
    if saved and kept.is_file():
        with contextlib.suppress(RuntimeError):  # the file is damaged: it is made again
            ready = core.import_model(kept.read_bytes(), "CPU", settings)
    if ready is None:
        ready = core.compile_model(make(), "CPU", settings)
        if saved:

            def write(part: Path) -> None:
                part.write_bytes(ready.export_model().getvalue())

            write_whole(kept, write)
    request, asking = ready.create_infer_request(), threading.Lock()
    handle_signals_on_own_stack()

    def call(x: Tensor) -> Tensor:
        with asking:  # of several threads one would be given what another one's window is answered
            answer = request.infer([x.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(answer[0].copy())  # the engine writes its next answer to the same memory

    return call

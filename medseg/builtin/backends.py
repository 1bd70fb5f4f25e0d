"""Ways to run a network: torch as it is, torch made faster, and engines that others write.

Each factory takes a module in eval mode and an example of its input, and returns a callable with the
module's signature for inputs of that shape. All compute in float32; the module itself stays as it was.
"""

import copy
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medseg.atomic import write_whole
from medseg.errors import ResourceError

Call = Callable[[Tensor], Tensor]


def eager(module: nn.Module, example: Tensor) -> Call:  # noqa: ARG001  # every backend is given an example
    """The module itself."""
    return module


def channels_last(module: nn.Module, example: Tensor) -> Call:
    """The module with a voxel's channels side by side in memory; good where nothing is instance norm."""
    layout: Any = {4: torch.channels_last, 5: torch.channels_last_3d}[example.ndim]
    turned = copy.deepcopy(module)
    turned.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs know it with four axes only
    return lambda x: turned(x.contiguous(memory_format=layout)).contiguous()


def compiled(module: nn.Module, example: Tensor) -> Call:
    """The module through torch.compile, for the example's shape; the first call takes a minute or so.

    Raises:
        ResourceError: there is no C++ compiler that torch can use.
    """
    fast = torch.compile(copy.deepcopy(module), dynamic=False)
    try:
        with torch.inference_mode(), _quiet():
            fast(example)
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise ResourceError(
            f"torch.compile failed: {str(error).splitlines()[0]}. Is a C++ compiler installed?"
        ) from error
    return fast


def openvino(module: nn.Module, example: Tensor, *, saved: str = "") -> Call:
    """The module in Intel's OpenVINO, on the CPU, with torch's number of threads.

    Args:
        module: (B,C,*S) -> (B,K,*S).
        example: (B,C,*S).
        saved: file that the compiled network is kept in, and read from if it is there; none if empty.

    Raises:
        ResourceError: openvino is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise ResourceError("the backend openvino needs a package: pip install openvino") from error
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # its default is bfloat16 or float16 where the hardware has it
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    core, kept = openvino.Core(), Path(saved)
    if saved and kept.is_file():
        ready = core.import_model(kept.read_bytes(), "CPU", settings)
    else:
        with torch.inference_mode(), _quiet():
            traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch's
            model = openvino.convert_model(traced, example_input=example, input=[tuple(example.shape)])
        ready = core.compile_model(model, "CPU", settings)
        if saved:

            def write(part: Path) -> None:
                part.write_bytes(ready.export_model().getvalue())

            write_whole(kept, write)
    request = ready.create_infer_request()

    def call(x: Tensor) -> Tensor:
        answer = request.infer([x.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(answer[0].copy())  # the engine writes its next answer to the same memory

    return call


def onnxruntime(module: nn.Module, example: Tensor) -> Call:
    """The module in ONNX Runtime, on the CPU, with torch's number of threads.

    Raises:
        ResourceError: onnxruntime or onnx is not installed.
    """
    try:
        import onnx  # noqa: F401  # torch's exporter needs it
        import onnxruntime
    except ImportError as error:
        raise ResourceError(
            "the backend onnxruntime needs two packages: pip install onnxruntime onnx"
        ) from error
    file = io.BytesIO()
    with torch.inference_mode(), _quiet():
        # The exporter that works on traces: the newer one needs a third package.
        torch.onnx.export(copy.deepcopy(module), (example,), file, input_names=["x"], dynamo=False)  # type: ignore[arg-type]  # it writes to streams too
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.contiguous().numpy()})[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracers warn of every Python branch on a size; the size is fixed here, and answers are compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

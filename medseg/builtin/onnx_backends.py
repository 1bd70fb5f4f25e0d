"""ONNX Runtime: on the CPU, and on NVIDIA's GPUs through TensorRT.

Each factory takes a module in eval mode and an example of its input, and returns a callable with the
module's signature for inputs of that shape.
"""

import copy
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from medseg.builtin.tracing import quiet
from medseg.errors import ResourceError

Call = Callable[[Tensor], Tensor]


def onnxruntime(module: nn.Module, example: Tensor) -> Call:
    """The module in float32 on the CPU, with torch's number of threads.

    Raises:
        ResourceError: onnxruntime or onnx is not installed.
    """
    package = _import_onnxruntime("onnxruntime")
    session = _session(package, module, example, ["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.contiguous().numpy()})[0])


def tensorrt(module: nn.Module, example: Tensor, *, saved: str = "") -> Call:
    """The module in float32 in TensorRT, on the GPU of the example.

    TF32, which TensorRT would take for float32, is switched off by ``NVIDIA_TF32_OVERRIDE=0`` in the
    environment alone; like every backend it is compared with torch before it is taken by ``auto``.

    Args:
        module: (B,C,*S) -> (B,K,*S).
        example: (B,C,*S) on a GPU.
        saved: beside it is the folder in which engines are kept, which take minutes to build.

    Raises:
        ResourceError: onnxruntime is not installed, or not with TensorRT.
    """
    package, name = _import_onnxruntime("onnxruntime-gpu"), "TensorrtExecutionProvider"
    if name not in package.get_available_providers():
        raise ResourceError(
            "the backend tensorrt needs ONNX Runtime with TensorRT: pip install onnxruntime-gpu tensorrt. "
            f"What is installed offers {', '.join(package.get_available_providers())}"
        )
    number = example.device.index or 0
    options: dict[str, Any] = {"device_id": number}
    if saved:
        options |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(Path(saved).parent)}
    session = _session(package, module, example, [(name, options)])
    if name not in session.get_providers():  # the runtime falls back to the CPU without a word
        raise ResourceError("the backend tensorrt: ONNX Runtime could not load TensorRT's libraries")

    def call(x: Tensor) -> Tensor:
        x = x.contiguous()
        torch.cuda.synchronize(x.device)  # the runtime has a stream of its own
        binding = session.io_binding()
        binding.bind_input("x", "cuda", number, np.float32, tuple(x.shape), x.data_ptr())
        answer = torch.empty(shape, device=x.device)
        binding.bind_output("y", "cuda", number, np.float32, shape, answer.data_ptr())
        session.run_with_iobinding(binding)
        return answer

    with torch.inference_mode():
        shape = tuple(module(example).shape)
    return call


def _import_onnxruntime(distribution: str) -> ModuleType:
    try:
        import onnx  # noqa: F401  # torch's exporter needs it
        import onnxruntime
    except ImportError as error:
        raise ResourceError(
            f"a backend of ONNX Runtime needs two packages: pip install {distribution} onnx"
        ) from error
    return cast(ModuleType, onnxruntime)


def _session(package: ModuleType, module: nn.Module, example: Tensor, providers: list[Any]) -> Any:
    """The module, exported with an input x and an output y, in ONNX Runtime."""
    file = io.BytesIO()
    with torch.inference_mode(), quiet():
        # The exporter that works on traces: the newer one needs a third package.
        torch.onnx.export(
            copy.deepcopy(module),
            (example,),
            file,  # type: ignore[arg-type]  # it writes to streams too
            input_names=["x"],
            output_names=["y"],
            dynamo=False,
        )
    options = package.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return package.InferenceSession(file.getvalue(), options, providers=providers)

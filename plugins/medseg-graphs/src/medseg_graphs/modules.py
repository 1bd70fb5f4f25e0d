"""Networks that are files: the file's bytes are their one tensor, so that weights stay one verified file."""

import io
import warnings
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from medseg.errors import OptionError, ResourceError, WeightsError

Call = Callable[[Tensor], Tensor]


class Graph(nn.Module):
    """A network whose definition and weights are the bytes of a file, opened at the first call.

    Args:
        in_channels, out_channels: C and K, held against what the file answers.
        size: bytes of the file.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        if size < 0:
            raise OptionError(f"size is {size}; wanted the number of bytes of the network's file")
        self.channels, self.classes = in_channels, out_channels
        self.register_buffer("file", torch.zeros(size, dtype=torch.uint8))
        self._call: Call | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> logits (B,K,*S)."""
        if x.is_meta:
            # A copy of this module shares what was opened, whose weights would be lost there.
            raise NotImplementedError("a network that is a file computes with values, not with sizes alone")
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]  # torch's
            # A trace holds what comes from outside torch as a constant, and gives it to every other window.
            raise ResourceError("a network that is a file runs in its own engine alone: --backend eager")
        if self._call is None:
            content = self.get_buffer("file").cpu().numpy().tobytes()
            if not content:
                raise WeightsError("a network that is a file has none; import one: medseg import NET.onnx")
            self._call = self._open(content)
        logits = self._call(x)
        if logits.ndim != x.ndim or logits.shape[1] != self.classes:
            raise WeightsError(
                f"the network's file answers {tuple(x.shape)} with {tuple(logits.shape)}; its contract says "
                f"{self.classes} channels of the same size"
            )
        return logits

    @abstractmethod
    def _open(self, content: bytes) -> Call:
        """The file as something to call."""


class OnnxGraph(Graph):
    """An ONNX file, run by ONNX Runtime on the CPU."""

    def __init__(self, in_channels: int, out_channels: int, *, dims: int = 3, size: int = 0) -> None:  # noqa: ARG002  # the file has its own
        super().__init__(in_channels, out_channels, size)

    def _open(self, content: bytes) -> Call:
        try:
            import onnxruntime
        except ImportError as error:
            raise ResourceError("an ONNX file needs a package: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def call(x: Tensor) -> Tensor:
            answer = session.run(None, {name: x.detach().cpu().float().contiguous().numpy()})[0]
            return torch.from_numpy(answer).to(x.device)

        return call


class ScriptGraph(Graph):
    """A TorchScript file, run by torch's interpreter, which is not Python's."""

    def __init__(self, in_channels: int, out_channels: int, *, dims: int = 3, size: int = 0) -> None:  # noqa: ARG002  # the file has its own
        super().__init__(in_channels, out_channels, size)

    def _open(self, content: bytes) -> Call:
        module = load_script(content)

        def call(x: Tensor) -> Tensor:
            answer = module.to(x.device)(x)
            if not isinstance(answer, Tensor):
                raise WeightsError(f"the TorchScript file answers {type(answer).__name__}; wanted one tensor")
            return answer

        return call


def load_script(content: bytes) -> torch.jit.ScriptModule:
    """A TorchScript archive, in eval mode.

    Raises:
        WeightsError: it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch advises its own export instead
            module = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]  # torch's
    except RuntimeError as error:
        raise WeightsError(f"no TorchScript archive: {' '.join(str(error).split())[:300]}") from error
    return module.eval()  # type: ignore[no-any-return]  # torch's loader is not typed

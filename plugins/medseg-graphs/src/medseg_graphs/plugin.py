"""What this plugin offers: networks that are files, and their import. Nothing heavy here."""

from collections.abc import Iterator

from medseg.plugin import Architecture, Importer, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_architectures() -> Iterator[Architecture]:
    """A graph in ONNX, and one in TorchScript, kept as the bytes of their file among the weights."""
    yield Architecture(
        name="onnx",
        factory="medseg_graphs.modules:OnnxGraph",
        summary="A network that is an ONNX file, run by ONNX Runtime",
        reference="https://onnx.ai",
        dims=(2, 3),
        from_file=True,
    )
    yield Architecture(
        name="torchscript",
        factory="medseg_graphs.modules:ScriptGraph",
        summary="A network that is a TorchScript file, run by torch",
        reference="https://docs.pytorch.org/docs/stable/jit.html",
        dims=(2, 3),
        from_file=True,
    )


@hookimpl
def medseg_importers() -> Iterator[Importer]:
    """Network files with a contract beside them."""
    yield Importer(
        name="onnx",
        factory="medseg_graphs.importer:read_onnx",
        recognise="medseg_graphs.recognise:is_onnx",
        summary="ONNX file with its contract beside it: NAME.onnx and NAME.json",
        reference="https://onnx.ai",
    )
    yield Importer(
        name="torchscript",
        factory="medseg_graphs.importer:read_torchscript",
        recognise="medseg_graphs.recognise:is_torchscript",
        summary="TorchScript file with its contract beside it: NAME.ts and NAME.json",
        reference="https://docs.pytorch.org/docs/stable/jit.html",
    )

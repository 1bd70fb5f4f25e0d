"""Which files are networks; this is asked often, so it imports nothing heavy."""

from pathlib import Path


def is_onnx(path: Path) -> bool:
    """Whether a path is a file called ``*.onnx``."""
    return path.suffix == ".onnx" and path.is_file()


def is_torchscript(path: Path) -> bool:
    """Whether a path is a file called ``*.ts`` or ``*.torchscript``."""
    return path.suffix in (".ts", ".torchscript") and path.is_file()

"""Which folders are nnU-Net's; asked of every folder that is to be run, so it imports nothing heavy."""

from pathlib import Path


def is_model_folder(path: Path) -> bool:
    """Whether a path is a model folder of nnU-Net v2, or the folder of a dataset that holds some."""
    return _is_one(path) or (path.is_dir() and any(_is_one(inner) for inner in path.glob("*__*__*")))


def model_folders(path: Path) -> list[Path]:
    """The model folder itself, or those in a dataset's folder (``TRAINER__PLANS__CONFIGURATION``)."""
    return [path] if _is_one(path) else sorted(inner for inner in path.glob("*__*__*") if _is_one(inner))


def _is_one(path: Path) -> bool:
    return (path / "plans.json").is_file() and (path / "dataset.json").is_file()

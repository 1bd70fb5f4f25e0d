"""Which folders are MONAI bundles; asked of every folder that is to be run, so it imports nothing heavy."""

from pathlib import Path


def is_bundle(path: Path) -> bool:
    """Whether a folder holds ``configs/metadata.json``, as MONAI's bundle specification says."""
    return (path / "configs" / "metadata.json").is_file()

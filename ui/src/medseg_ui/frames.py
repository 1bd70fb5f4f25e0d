"""Label maps that a job leaves on its way, so that it can be watched and stepped through."""

import re
from pathlib import Path
from typing import Any

_FRAME = re.compile(r"frame-(\d+)\.nii")


def frame_path(folder: Path, iteration: int) -> Path:
    """Where the labels after so many iterations go; written whole or not at all."""
    return folder / f"frame-{iteration:06d}.nii"


def find_frames(folder: Path) -> list[dict[str, Any]]:
    """The frames that there are so far, in order: ``iteration`` and ``file``."""
    found = sorted(path.name for path in folder.glob("frame-*.nii"))
    named = [(name, _FRAME.fullmatch(name)) for name in found]
    return [{"iteration": int(match[1]), "file": name} for name, match in named if match]

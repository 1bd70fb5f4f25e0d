"""medseg: medical and 3-D image segmentation; models are plugins.

Importing this package imports neither torch nor numpy: the names below are loaded when used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.errors import MedsegError
    from medseg.segmenter import build
    from medseg.volume import Volume

_HOME = {
    "MedsegError": "medseg.errors",
    "Volume": "medseg.volume",
    "build": "medseg.segmenter",
}

__version__ = "0.1.0"
__all__ = ["MedsegError", "Volume", "build"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'medseg' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

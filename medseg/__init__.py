"""medseg: medical and 3-D image segmentation; models are plugins.

Importing this package imports neither torch nor numpy: the names below are loaded when used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.catalogue import models
    from medseg.errors import (
        Cancelled,
        ContractError,
        MedsegError,
        OptionError,
        PluginError,
        ResourceError,
        VolumeError,
        WeightsError,
    )
    from medseg.formats import load, save
    from medseg.loaded import LoadedModel
    from medseg.predict import load_model, segment
    from medseg.progress import CancelToken, Progress
    from medseg.segmentation import Segmentation
    from medseg.segmenter import build
    from medseg.volume import Volume

__version__ = "0.1.0"

_HOME = {
    "CancelToken": "medseg.progress",
    "Cancelled": "medseg.errors",
    "ContractError": "medseg.errors",
    "LoadedModel": "medseg.loaded",
    "MedsegError": "medseg.errors",
    "OptionError": "medseg.errors",
    "PluginError": "medseg.errors",
    "Progress": "medseg.progress",
    "ResourceError": "medseg.errors",
    "Segmentation": "medseg.segmentation",
    "Volume": "medseg.volume",
    "VolumeError": "medseg.errors",
    "WeightsError": "medseg.errors",
    "build": "medseg.segmenter",
    "load": "medseg.formats",
    "load_model": "medseg.predict",
    "models": "medseg.catalogue",
    "save": "medseg.formats",
    "segment": "medseg.predict",
}

__all__ = [
    "CancelToken",
    "Cancelled",
    "ContractError",
    "LoadedModel",
    "MedsegError",
    "OptionError",
    "PluginError",
    "Progress",
    "ResourceError",
    "Segmentation",
    "Volume",
    "VolumeError",
    "WeightsError",
    "build",
    "load",
    "load_model",
    "models",
    "save",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'medseg' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

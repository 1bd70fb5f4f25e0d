"""medseg: medical and 3-D image segmentation; models are plugins.

Importing this package imports neither torch nor numpy: the names below are loaded when used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.catalogue import methods, models
    from medseg.contract import Problem, check
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
    from medseg.evaluation.evaluate import evaluate
    from medseg.formats import format_of, known_suffixes, load, save
    from medseg.inference.execution import Execution
    from medseg.loaded import LoadedModel
    from medseg.options import Option, check_options, options_of
    from medseg.picture import draw
    from medseg.predict import load_model, segment
    from medseg.progress import CancelToken, Progress
    from medseg.refinement import refine
    from medseg.registry import Registered, Registry, default_registry
    from medseg.samples import find_sample
    from medseg.segmentation import Segmentation
    from medseg.segmenter import build
    from medseg.volume import Volume

__version__ = "0.1.0"

_HOME = {
    "CancelToken": "medseg.progress",
    "Cancelled": "medseg.errors",
    "ContractError": "medseg.errors",
    "Execution": "medseg.inference.execution",
    "LoadedModel": "medseg.loaded",
    "MedsegError": "medseg.errors",
    "Option": "medseg.options",
    "OptionError": "medseg.errors",
    "PluginError": "medseg.errors",
    "Problem": "medseg.contract",
    "Progress": "medseg.progress",
    "Registered": "medseg.registry",
    "Registry": "medseg.registry",
    "ResourceError": "medseg.errors",
    "Segmentation": "medseg.segmentation",
    "Volume": "medseg.volume",
    "VolumeError": "medseg.errors",
    "WeightsError": "medseg.errors",
    "build": "medseg.segmenter",
    "check": "medseg.contract",
    "check_options": "medseg.options",
    "default_registry": "medseg.registry",
    "draw": "medseg.picture",
    "evaluate": "medseg.evaluation.evaluate",
    "find_sample": "medseg.samples",
    "format_of": "medseg.formats",
    "known_suffixes": "medseg.formats",
    "load": "medseg.formats",
    "load_model": "medseg.predict",
    "methods": "medseg.catalogue",
    "models": "medseg.catalogue",
    "options_of": "medseg.options",
    "refine": "medseg.refinement",
    "save": "medseg.formats",
    "segment": "medseg.predict",
}

__all__ = [
    "CancelToken",
    "Cancelled",
    "ContractError",
    "Execution",
    "LoadedModel",
    "MedsegError",
    "Option",
    "OptionError",
    "PluginError",
    "Problem",
    "Progress",
    "Registered",
    "Registry",
    "ResourceError",
    "Segmentation",
    "Volume",
    "VolumeError",
    "WeightsError",
    "build",
    "check",
    "check_options",
    "default_registry",
    "draw",
    "evaluate",
    "find_sample",
    "format_of",
    "known_suffixes",
    "load",
    "load_model",
    "methods",
    "models",
    "options_of",
    "refine",
    "save",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'medseg' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

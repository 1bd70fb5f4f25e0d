"""``medseg doctor``: what this installation is, and what is wrong with it."""

import importlib.metadata
import os
import platform
from typing import Any

import torch
from rich.console import Console

import medseg
from medseg.cache import cache_folder
from medseg.model_folder import models_folder
from medseg.registry import Registry, default_registry

_LIBRARIES = ("torch", "numpy", "scipy", "nibabel", "pluggy", "safetensors")


def diagnose(registry: Registry | None = None) -> dict[str, Any]:
    """Versions, devices and folders of this installation, and its problems."""
    registry = registry or default_registry()
    problems = [
        {
            "plugin": record.name,
            "distribution": f"{record.distribution} {record.version}",
            "status": record.status,
            "reason": record.reason,
            "traceback": record.traceback,
        }
        for record in registry.failures
    ]
    return {
        "medseg": medseg.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "cuda": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
        "weights_folder": str(cache_folder("weights")),
        "models_folder": str(models_folder()),
        "plugins": registry.versions(),
        "problems": problems,
    }


def show_diagnosis(diagnosis: dict[str, Any]) -> None:
    """Print a diagnosis for people."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    for key in ("medseg", "python", "system", "processors", "threads", "weights_folder", "models_folder"):
        console.print(f"{key.replace('_', ' '):16} {diagnosis[key]}")
    console.print(f"{'GPUs':16} {', '.join(diagnosis['cuda']) or 'none that torch can use'}")
    for title in ("libraries", "plugins"):
        console.print(f"{title:16} {', '.join(f'{k} {v}' for k, v in diagnosis[title].items())}")
    for problem in diagnosis["problems"]:
        who = f"{problem['plugin']} ({problem['distribution']})"
        console.print(f"\n{problem['status'].upper()}  {who}: {problem['reason']}")
        console.print(problem["traceback"])
    count = len(diagnosis["problems"])
    console.print(f"\n{count or 'no'} problem{'' if count == 1 else 's'} found")

"""A network file and the contract beside it as a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medseg.description import from_json
from medseg.errors import ContractError, MedsegError, WeightsError
from medseg.plugin import Imported, Model, Slices, WholeGrid
from medseg_graphs.modules import OnnxGraph, ScriptGraph


def read_onnx(source: Path, name: str) -> Imported:
    """Read ``NAME.onnx`` and ``NAME.json``; weights that ONNX keeps in further files are refused.

    Raises:
        ContractError: there is no contract, or it is none.
        WeightsError: the file is no ONNX, is not whole, or does not answer as its contract says.
    """
    return _read(source, name, "graphs:onnx", OnnxGraph)


def read_torchscript(source: Path, name: str) -> Imported:
    """Read ``NAME.ts`` or ``NAME.torchscript``, and ``NAME.json``.

    TorchScript is a program for torch's own interpreter. It cannot run Python, but what it computes is its
    maker's: import files of people whom you trust.

    Raises:
        ContractError: there is no contract, or it is none.
        WeightsError: the file is no TorchScript, or does not answer as its contract says.
    """
    return _read(source, name, "graphs:torchscript", ScriptGraph)


def _read(
    source: Path, name: str, architecture: str, module: type[OnnxGraph] | type[ScriptGraph]
) -> Imported:
    if not source.is_file():
        raise WeightsError(f"{source}: there is no such file")
    content = source.read_bytes()
    model = _contract(source.with_suffix(".json"), name, architecture, len(content))
    tensors = {"file": torch.from_numpy(np.frombuffer(content, np.uint8).copy())}
    network = module(_channels(model), len(model.labels) - model.regions, size=len(content))
    network.load_state_dict(tensors)
    _try(network, model, source)
    return Imported(model=model, tensors=tensors)


def _contract(path: Path, name: str, architecture: str, size: int) -> Model:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(
            f"{path}: a network file says nothing of its input, so its contract must lie beside it ({error})"
        ) from error
    if not isinstance(data, dict):
        raise ContractError(f"{path}: wanted the fields of a model, as in docs/reference/model-folders.md")
    licence = data.pop("licence", "LicenseRef-unknown")
    own = {"name": name, "architecture": architecture, "options": {"size": size}}
    weights = {"source": "", "sha256": "", "size": 0, "licence": licence}
    given = sorted({*own, "weights"} & data.keys() - {"name"})
    if given:
        raise ContractError(f"{path}: {', '.join(given)} is what the file itself says; leave it out")
    try:
        return from_json({**data, **own, "weights": weights})
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error


def _channels(model: Model) -> int:
    patch = model.input.patch
    return len(model.input.channels) * (2 * patch.neighbours + 1 if isinstance(patch, Slices) else 1)


def _try(network: OnnxGraph | ScriptGraph, model: Model, source: Path) -> None:
    """One window of zeros: what does not fit is refused now, not in the middle of a cohort."""
    patch = model.input.patch
    size = patch.shape if isinstance(patch, WholeGrid) else patch.size
    window = torch.zeros(1, _channels(model), *size)
    try:
        with torch.inference_mode():
            answer = network(window)
    except MedsegError as error:
        raise type(error)(f"{source}: {error}") from error
    except Exception as error:  # of the engines, which have no class in common; it is raised again
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{source} cannot be run on {tuple(window.shape)}: {reason}") from error
    if answer.shape[2:] != window.shape[2:]:
        raise WeightsError(
            f"{source} answers {tuple(window.shape)} with {tuple(answer.shape)}; wanted as many voxels out "
            "as in"
        )

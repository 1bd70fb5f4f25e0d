"""Read the tensors of nnU-Net's checkpoints; nothing in them that could run code is ever run."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medseg.errors import WeightsError

# What nnU-Net's logbook adds to the tensors: numpy's numbers, which are data.
_NUMBERS: list[Any] = [
    np.dtype,
    np._core.multiarray.scalar,  # type: ignore[attr-defined]  # numpy lists it nowhere, pickles name it
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]  # numpy 1's name
    *(getattr(np.dtypes, name) for name in ("Float64DType", "Float32DType", "Int64DType", "BoolDType")),
]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What medseg takes from a checkpoint.

    Args:
        tensors: of the network, each under one name.
        configuration, trainer: by name, such as ``3d_fullres`` and ``nnUNetTrainer``.
        mirror: axes of the network along which it may be mirrored; empty for none.
    """

    tensors: Mapping[str, Tensor]
    configuration: str
    trainer: str
    mirror: tuple[int, ...]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint with ``weights_only=True``.

    Raises:
        WeightsError: it is damaged, would have to run code, or is none of nnU-Net's.
    """
    content = _load(path)
    try:
        trainer, configuration = content["trainer_name"], content["init_args"]["configuration"]
        weights, mirror = content["network_weights"], content.get("inference_allowed_mirroring_axes")
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: no checkpoint of nnU-Net v2; wanted trainer_name, init_args and network_weights in it "
            f"({type(error).__name__}: {error})"
        ) from error
    return Checkpoint(
        tensors=_once({_plain(key): tensor for key, tensor in weights.items()}, path),
        configuration=str(configuration),
        trainer=str(trainer),
        mirror=tuple(int(axis) for axis in mirror or ()),
    )


def _load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            # Mapped, so that the optimiser's state, as large as the weights twice, is never read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise WeightsError(f"there is no checkpoint {path}") from None
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{path} is refused: it holds more than tensors and numbers, and reading that could run code. "
            "Ask whoever made it for a checkpoint with the network's weights alone, or load it with nnU-Net "
            "on a computer where you trust it, and save it again without the rest. "
            f"torch says: {reason[:300]}"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise WeightsError(
            f"{path} is not a sound checkpoint: {' '.join(str(error).split())[:300]}"
        ) from error


def _plain(key: str) -> str:
    """A tensor's name without what torch.compile and data parallelism put before it."""
    for prefix in ("_orig_mod.", "module."):
        key = key.removeprefix(prefix)
    return key


def _once(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors without their second names: nnU-Net's decoder holds the encoder, and each block a list."""
    kept = {
        key: tensor
        for key, tensor in weights.items()
        if ".all_modules." not in key and not key.startswith("decoder.encoder.")
    }
    for key, tensor in weights.items():
        first = key.removeprefix("decoder.")
        again = key.startswith("decoder.encoder.") and ".all_modules." not in key
        if again and not (first in kept and torch.equal(kept[first], tensor)):
            raise WeightsError(f"{path}: {key} is not the tensor {first} that it should be")
    layers = _score_layers(kept)
    coarse = tuple(f"decoder.seg_layers.{layer}." for layer in layers[:-1])
    return {key: tensor for key, tensor in kept.items() if not key.startswith(coarse)}


def _score_layers(keys: Mapping[str, Tensor]) -> Sequence[int]:
    return sorted({int(key.split(".")[2]) for key in keys if key.startswith("decoder.seg_layers.")})

"""An nnU-Net v2 model folder as a medseg model: contract from the plans, tensors from the checkpoints."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medseg.errors import ContractError, OptionError, WeightsError
from medseg.plugin import Imported, Model, Weights
from medseg_nnunet import networks
from medseg_nnunet.checkpoint import Checkpoint, read_checkpoint
from medseg_nnunet.plans import Plans, input_of, labels_of, network_of, read_plans
from medseg_nnunet.recognise import model_folders

_FACTORIES: dict[str, Callable[..., nn.Module]] = {
    "nnunet:plain-unet": networks.plain_unet,
    "nnunet:residual-unet": networks.residual_unet,
}


def read_folder(
    source: Path,
    name: str,
    *,
    folds: str = "",
    checkpoint: str = "checkpoint_final.pth",
    orientation: str = "",
    licence: str = "LicenseRef-unknown",
) -> Imported:
    """Read a model folder (``TRAINER__PLANS__CONFIGURATION``), or a dataset's folder that holds one.

    Args:
        source: the folder.
        name: that the model shall have.
        folds: such as ``0,1,2`` or ``all``; every numbered fold, if empty.
        checkpoint: file name in each fold.
        orientation: axis codes of the training data, such as ``RAS``, if you know them. nnU-Net records
            none, and takes arrays as their files store them.
        licence: SPDX expression of the weights.

    Raises:
        ContractError: something that medseg does not reproduce, by its name.
        WeightsError: a checkpoint is refused, or does not fit the plans.
        OptionError: no such folds, or several models in the folder.
    """
    folder = _only(source)
    plans_json, dataset = _read(folder / "plans.json"), _read(folder / "dataset.json")
    places = _folds(folder, folds, checkpoint)
    checkpoints = [read_checkpoint(place / checkpoint) for place in places]
    first = checkpoints[0]
    _agree(checkpoints, places)
    try:
        plans = read_plans(plans_json, first.configuration)
        wanted = input_of(plans, dataset, orientation=orientation, mirror=first.mirror)
        labels, regions = labels_of(dataset)
        architecture, options = network_of(plans, batch_norm=any("running_mean" in k for k in first.tensors))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        if isinstance(error, ContractError | OptionError):
            raise
        raise ContractError(
            f"{folder}: plans.json or dataset.json is not as nnU-Net writes it "
            f"({type(error).__name__}: {error})"
        ) from error
    options["folds"] = len(places)
    tensors = _together([_arranged(c.tensors, plans) for c in checkpoints])
    numbers = ", ".join(place.name.removeprefix("fold_") for place in places)
    trained = f"nnU-Net {plans_json.get('dataset_name', 'dataset of unknown name')}, {first.configuration}"
    model = Model(
        name=name,
        summary=f"nnU-Net: {', '.join(label.name for label in labels[1:])}"[:80],
        reference=str(dataset.get("reference") or ""),
        architecture=architecture,
        options=options,
        weights=Weights(source="", sha256="", size=0, licence=licence),
        input=wanted,
        labels=labels,
        regions=regions,
        intended_use="as its authors say; research only, not for clinical use",
        training_data=f"{trained}, trainer {first.trainer}, folds {numbers}, "
        f"{dataset.get('numTraining', 'an unknown number of')} cases",
    )
    _check_fit(tensors, model, folder)
    return Imported(model=model, tensors=tensors, notes=_notes(model, first))


def _notes(model: Model, checkpoint: Checkpoint) -> tuple[str, ...]:
    notes = []
    if model.input.orientation == "stored":
        notes.append(
            "nnU-Net records no orientation: the network gets each array as its file stores it, as in "
            "nnU-Net. If you know the training data's, say so: -o orientation=RAS"
        )
    if checkpoint.trainer != "nnUNetTrainer":
        notes.append(
            f"its trainer is {checkpoint.trainer}: if that class changes how the network computes, and not "
            "only how it is trained, its plans do not say so, and results differ from nnU-Net's"
        )
    return tuple(notes)


def _only(source: Path) -> Path:
    found = model_folders(source)
    if not found:
        raise ContractError(f"{source} is no model folder of nnU-Net v2: wanted plans.json and dataset.json")
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found)
        raise OptionError(f"{source} holds {len(found)} models; name one of its folders: {names}")
    return found[0]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(f"{path} cannot be read: {error}") from error


def _folds(folder: Path, wanted: str, checkpoint: str) -> list[Path]:
    there = {p.name.removeprefix("fold_"): p for p in folder.glob("fold_*") if (p / checkpoint).is_file()}
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    # As nnU-Net: every numbered fold; one trained on all cases is only taken if there is no other.
    names = names or sorted((n for n in there if n.isdigit()), key=int) or sorted(there)
    missing = [name for name in names if name not in there]
    if missing or not names:
        raise OptionError(
            f"{folder}: there is no {checkpoint} of fold {', '.join(missing) or '*'}; there are folds "
            f"{', '.join(sorted(there)) or 'none'}"
        )
    return [there[name] for name in names]


def _agree(checkpoints: Sequence[Checkpoint], places: Sequence[Path]) -> None:
    first = checkpoints[0]
    for other, place in zip(checkpoints[1:], places[1:], strict=True):
        if (other.configuration, other.mirror) != (first.configuration, first.mirror):
            raise WeightsError(
                f"{place} is of configuration {other.configuration}, mirrored along {other.mirror}; "
                f"{places[0].name} of {first.configuration}, along {first.mirror}; folds must agree"
            )


def _arranged(tensors: Mapping[str, Tensor], plans: Plans) -> dict[str, Tensor]:
    """Kernels with their axes in the order i, j, k."""
    return {
        name: tensor.permute(0, 1, *(2 + axis for axis in plans.order)) if tensor.ndim == 5 else tensor
        for name, tensor in tensors.items()
    }


def _together(folds: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    if len(folds) == 1:
        return dict(folds[0])
    return {f"members.{n}.{name}": tensor for n, fold in enumerate(folds) for name, tensor in fold.items()}


def _check_fit(tensors: Mapping[str, Tensor], model: Model, folder: Path) -> None:
    classes = len(model.labels) - model.regions  # the background has no region
    with torch.device("meta"):
        network = _FACTORIES[model.architecture](len(model.input.channels), classes, dims=3, **model.options)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    differing = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
    if differing:
        shown = "; ".join(
            f"{name}: {got.get(name, 'missing')}, the plans say {wanted.get(name, 'no such tensor')}"
            for name in differing[:3]
        )
        raise WeightsError(f"{folder}: {len(differing)} tensors do not fit the plans' network: {shown}")

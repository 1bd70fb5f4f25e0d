"""Other tools' lists of training cases, read as they are.

nnU-Net v2: ``dataset.json`` beside ``imagesTr`` and ``labelsTr``, a file ``CASE_0000.nii.gz`` for each
channel (documentation/dataset_format.md of its repository). Medical Segmentation Decathlon and MONAI:
``training`` (and ``validation``) as lists of ``image`` and ``label``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from medseg.errors import ContractError
from medseg.model import Channel
from medseg.training.dataset import Case, Dataset, Split, label

_SPLITS = {"training": "train", "validation": "val"}


def is_nnunet(data: Mapping[str, Any]) -> bool:
    """Whether a ``dataset.json`` is nnU-Net's."""
    return "file_ending" in data and "channel_names" in data


def is_decathlon(data: Mapping[str, Any]) -> bool:
    """Whether a list is one as MONAI reads it."""
    return isinstance(data.get("training"), list)


def read_nnunet(data: Mapping[str, Any], folder: Path) -> Dataset:
    """An nnU-Net v2 dataset.

    Raises:
        ContractError: regions instead of labels, or a case without one of its files.
    """
    labels = {str(name): value for name, value in data["labels"].items()}
    if not all(isinstance(value, int) for value in labels.values()):
        raise ContractError(
            f"dataset {folder.name}: its labels are regions (lists of values); regions are not trained yet"
        )
    ignored = labels.pop("ignore", None)
    if ignored is not None:
        raise ContractError(
            f"dataset {folder.name}: it has an ignore label, {ignored}; that is not trained yet"
        )
    ending = data["file_ending"]
    count = len(data["channel_names"])
    cases = []
    for target in sorted((folder / "labelsTr").glob(f"[!.]*{ending}")):  # macOS adds a hidden ._NAME to each
        name = target.name.removesuffix(ending)
        images = tuple(folder / "imagesTr" / f"{name}_{n:04d}{ending}" for n in range(count))
        absent = [image.name for image in images if not image.exists()]
        if absent:
            raise ContractError(f"dataset {folder.name}: case {name} has no {', '.join(absent)} in imagesTr")
        cases.append(Case(name=name, images=images, labels=target))
    names = {value: name for name, value in labels.items()}
    return Dataset(
        name=folder.name,
        channels=tuple(_channel(data["channel_names"][str(n)]) for n in range(count)),
        labels=tuple(label(value, names[value]) for value in sorted(names)),
        cases=tuple(cases),
        licence=str(data.get("licence", data.get("license", ""))),
        description=str(data.get("description", "")),
    )


def read_decathlon(data: Mapping[str, Any], folder: Path, *, name: str) -> Dataset:
    """A list of the Medical Segmentation Decathlon, or one as MONAI reads it.

    Where it names several modalities and one image, that file holds a volume for each, in their order.

    Raises:
        ContractError: an entry without image and label.
    """
    channels = data.get("modality", {"0": "image"})
    cases = []
    for key, split in _SPLITS.items():
        for entry in data.get(key, ()):
            if not isinstance(entry, Mapping) or not {"image", "label"} <= set(entry):
                raise ContractError(
                    f"dataset {name}: {key} holds {entry!r}; wanted an object with image and label"
                )
            images = [entry["image"]] if isinstance(entry["image"], str) else list(entry["image"])
            whole = len(images) == 1 and len(channels) > 1
            target = folder / entry["label"]
            cases.append(
                Case(
                    name=target.name.split(".")[0],
                    images=tuple(folder / image for image in images) * (len(channels) if whole else 1),
                    labels=target,
                    split=cast(Split, split),
                    volumes=tuple(range(len(channels))) if whole else (),
                )
            )
    names = {int(value): str(name) for value, name in data.get("labels", {}).items()}
    return Dataset(
        name=str(data.get("name", name)),
        channels=tuple(_channel(channels[key]) for key in sorted(channels, key=int)),
        labels=tuple(label(value, names[value]) for value in sorted(names)),
        cases=tuple(cases),
        licence=str(data.get("licence", data.get("license", ""))),
        description=str(data.get("description", "")),
    )


def _channel(name: str) -> Channel:
    """nnU-Net, too, takes a channel called CT for one in Hounsfield units."""
    if name.upper() == "CT":
        return Channel(name="CT", modality="CT", unit="HU")
    return Channel(name=name or "image", modality="PT" if name.upper() == "PET" else "MR", unit="arbitrary")

"""A MONAI bundle as a medseg model: contract from its configurations, tensors from its weights."""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medseg.errors import ContractError, OptionError, WeightsError
from medseg.plugin import Channel, Imported, Input, Label, Model, Weights, Windows, label_colour
from medseg_monai.config import Component, Config, read_config
from medseg_monai.networks import NETWORKS, MonaiNetwork
from medseg_monai.transforms import Before, read_after, read_before

_GIVEN = ("spatial_dims", "in_channels", "out_channels")
_MODALITIES = {"ct": ("CT", "HU"), "mr": ("MR", "arbitrary"), "mri": ("MR", "arbitrary")}


def read_bundle(
    source: Path,
    name: str,
    *,
    config: str = "inference.json",
    orientation: str = "",
    paint: tuple[int, ...] = (),
    licence: str = "LicenseRef-unknown",
) -> Imported:
    """Read a bundle's folder.

    Args:
        source: the folder.
        name: that the model shall have.
        config: file name in ``configs``.
        orientation: axis codes of the training data, where the bundle has no ``Orientationd`` and you know.
        paint: for channels that are regions: their numbers, from 0, in the order in which they are painted,
            later ones over earlier ones.
        licence: SPDX expression of the weights.

    Raises:
        ContractError: something that medseg does not reproduce, by its name.
        WeightsError: the weights are refused, or do not fit.
        OptionError: ``paint`` is missing or no order of the channels.
    """
    metadata = read_config(source / "configs" / "metadata.json")
    inference = read_config(source / "configs" / config)
    channels = _channels(metadata)
    before = read_before(_transforms(inference, "preprocessing", "preprocessing_transforms"), len(channels))
    network, given, inputs, outputs = _network(inference)
    after = read_after(_transforms(inference, "postprocessing", "postprocessing_transforms"), outputs)
    if inputs != len(channels):
        raise ContractError(
            f"{source}: the network has {inputs} input channels, its metadata {len(channels)}"
        )
    names = _outputs(metadata, outputs)
    order = _order(paint, outputs, regions=after.regions)
    options = {"network": network, "arguments": json.dumps(given, sort_keys=True), "order": order}
    tensors = _weights(source / "models")
    _check_fit(tensors, len(channels), outputs, options, source)
    model = Model(
        name=name,
        summary=str(metadata.values.get("task") or metadata.values.get("name") or f"MONAI's {network}")[:80],
        reference=_words(metadata.values.get("references")),
        architecture="monai:network",
        options=options,
        weights=Weights(source="", sha256="", size=0, licence=licence),
        input=_input(channels, before, _windows(inference), orientation),
        labels=_labels([names[n] for n in order] if after.regions else names[1:]),
        regions=after.regions,
        post=tuple(after.steps),
        intended_use=_words(metadata.values.get("intended_use")) or "as its authors say; research only",
        training_data=_words(metadata.values.get("data_source")) or "the bundle does not say",
    )
    return Imported(model=model, tensors=tensors, notes=_notes(model))


def _notes(model: Model) -> tuple[str, ...]:
    notes = []
    if model.input.orientation == "stored":
        notes.append(
            "the bundle turns no image, so the network gets each array as its file stores it, as in MONAI. "
            "If you know the training data's orientation, say so: -o orientation=RAS"
        )
    if model.input.spacing_mm:
        notes.append(
            "MONAI's resampled grid begins at the centre of the first voxel, medseg's lies about the same "
            "centre as the image: they are up to a voxel apart, and so single voxels of the result differ"
        )
    return tuple(notes)


def _transforms(config: Config, *names: str) -> list[Component]:
    compose = config.component(*names)
    if compose is None:
        return []
    if compose.name != "Compose":
        raise compose.refused("is no Compose")
    compose.knows("transforms", "map_items", "unpack_items", "lazy", "log_stats")
    return compose.inner("transforms")


def _network(config: Config) -> tuple[str, dict[str, Any], int, int]:
    """The network's class, its arguments, and the numbers of its input and output channels."""
    component = config.component("network_def", "network")
    if component is None:
        raise ContractError(f"{config.path}: there is no network_def")
    if component.name not in NETWORKS:
        raise component.refused(f"is not among the networks that medseg makes: {', '.join(NETWORKS)}")
    given = {key: component.value(key) for key in component.arguments if key != "_disabled_"}
    dims, inputs, outputs = (given.pop(key, default) for key, default in zip(_GIVEN, (3, 1, 2), strict=True))
    if dims != 3:
        raise component.refused(f"has spatial_dims={dims}; medseg imports networks of three")
    if not isinstance(inputs, int) or not isinstance(outputs, int):
        raise component.refused(f"has in_channels={inputs!r} and out_channels={outputs!r}; wanted numbers")
    return component.name, given, inputs, outputs


def _windows(config: Config) -> Windows:
    component = config.component("inferer")
    if component is None or component.name != "SlidingWindowInferer":
        found = component.name if component else "none"
        raise ContractError(f"{config.path}: the inferer is {found}; medseg reproduces SlidingWindowInferer")
    component.knows(
        "roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval", "sw_batch_size",
        "sw_device", "device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps",
        "buffer_dim", "with_coord",
    )  # fmt: skip
    component.wants("sigma_scale", [0.125])
    component.wants("padding_mode", ["constant"])
    component.wants("cval", [0.0])
    component.wants("with_coord", [False])
    component.wants("mode", ["constant", "gaussian"])
    size, overlap = component.value("roi_size"), component.value("overlap", default=0.25)
    size = [size] * 3 if isinstance(size, int) else size
    if not isinstance(size, list) or len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size):
        raise component.refused(f"has roi_size={size!r}; wanted three numbers of voxels")
    if isinstance(overlap, list) and overlap and overlap.count(overlap[0]) == len(overlap):
        overlap = overlap[0]
    if not isinstance(overlap, int | float) or not 0 <= overlap < 1:
        raise component.refused(
            f"has overlap={overlap!r}; medseg reproduces one number for all axes, from 0 to below 1"
        )
    return Windows(
        size=tuple(size), overlap=float(overlap), blend=component.value("mode", default="constant")
    )


def _input(channels: Sequence[Channel], before: Before, windows: Windows, orientation: str) -> Input:
    if orientation and before.orientation not in ("stored", orientation):
        raise OptionError(
            f"orientation is {orientation}, and the bundle turns images to {before.orientation}"
        )
    steps = tuple(before.first)
    return Input(
        channels=tuple(Channel(name=c.name, modality=c.modality, unit=c.unit, steps=steps) for c in channels),
        spacing_mm=before.spacing_mm,
        orientation=orientation or before.orientation,
        patch=windows,
        steps=tuple(before.then),
        interpolation=before.interpolation,  # type: ignore[arg-type]  # of the words in transforms.py
    )


def _channels(metadata: Config) -> list[Channel]:
    described = _format(metadata, "inputs")
    count, names = described.get("num_channels", 1), _names(metadata, described, "inputs")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ContractError(
            f"{metadata.path}: num_channels of the inputs is {count!r}; wanted a whole number, 1 or more"
        )
    modality = str(described.get("modality", "")).casefold()
    kind, unit = _MODALITIES.get(modality, ("arbitrary", "arbitrary"))
    if kind == "CT" and described.get("format") not in ("hounsfield", None):
        unit = "arbitrary"
    return [
        Channel(name=str(names.get(str(n)) or f"channel {n}"), modality=kind, unit=unit) for n in range(count)
    ]


def _outputs(metadata: Config, count: int) -> list[str]:
    """A name for each output channel."""
    names = _names(metadata, _format(metadata, "outputs"), "outputs")
    return [str(names.get(str(n)) or f"channel {n}") for n in range(count)]


def _format(metadata: Config, which: str) -> Mapping[str, Any]:
    """The one input or output that network_data_format describes."""
    whole = _object(metadata, metadata.values.get("network_data_format", {}), "network_data_format")
    described = _object(metadata, whole.get(which, {}), f"network_data_format::{which}")
    if len(described) != 1:
        raise ContractError(
            f"{metadata.path}: network_data_format has the {which} {', '.join(described) or 'none'}; medseg "
            "imports networks of one image and one prediction"
        )
    ((name, only),) = described.items()
    return _object(metadata, only, f"network_data_format::{which}::{name}")


def _names(metadata: Config, described: Mapping[str, Any], which: str) -> Mapping[str, Any]:
    """Names of channels by their numbers as text."""
    return _object(metadata, described.get("channel_def") or {}, f"channel_def of the {which}")


def _object(metadata: Config, value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ContractError(f"{metadata.path}: {where} is {value!r}; wanted a JSON object")
    return value


def _order(paint: tuple[int, ...], count: int, *, regions: bool) -> tuple[int, ...]:
    if not regions:
        if paint:
            raise OptionError(
                "paint is for channels that are regions, with a sigmoid each; here they are not"
            )
        return ()
    if not paint and count > 1:
        raise OptionError(
            f"the bundle's {count} channels are regions that may overlap, and does not say which is painted "
            "over which: give their numbers, from 0, with the one on top last, as in -o paint=1,0,2"
        )
    if sorted(paint or (0,)) != list(range(count)):
        raise OptionError(f"paint is {paint}; wanted each number from 0 to {count - 1} once")
    return paint or (0,)


def _labels(names: Sequence[str]) -> tuple[Label, ...]:
    found = [Label(value=0, name="background", colour="#000000")]
    return (
        *found,
        *(Label(value=n, name=name, colour=label_colour(n)) for n, name in enumerate(names, start=1)),
    )


def _words(value: Any) -> str:
    return "; ".join(str(item) for item in value) if isinstance(value, list) else str(value or "")


def _weights(folder: Path) -> dict[str, Tensor]:
    """The tensors under the names that the architecture has for them."""
    named = folder / "model.safetensors"
    if named.is_file():
        from safetensors.torch import load_file

        return {f"network.{key}": tensor for key, tensor in load_file(named).items()}
    path = folder / "model.pt"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(
            f"there is no {path}, and no model.safetensors beside it; a bundle of a TorchScript model alone "
            "is imported as such a file: medseg import model.ts"
        ) from None
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{path} is refused: it is damaged, or holds more than tensors, and reading that could run code. "
            f"torch says: {reason}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise WeightsError(f"{path}: wanted the tensors of a network by name")
    return {f"network.{key.removeprefix('module.')}": tensor for key, tensor in content.items()}


def _check_fit(
    tensors: Mapping[str, Tensor], inputs: int, outputs: int, options: Mapping[str, Any], source: Path
) -> None:
    network = MonaiNetwork(inputs, outputs, dims=3, **options)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    differing = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
    if differing:
        shown = "; ".join(
            f"{name}: {got.get(name, 'missing')}, network_def says {wanted.get(name, 'no such tensor')}"
            for name in differing[:3]
        )
        raise WeightsError(f"{source}: {len(differing)} tensors do not fit the network: {shown}")

"""plans.json and dataset.json as a contract: geometry, intensities, labels, and the network's options.

nnU-Net reads arrays with their axes reversed (k, j, i) and then permutes them (``transpose_forward``).
Here, and nowhere else, its axes become medseg's: sizes, spacings and kernels are put into the order
(i, j, k), so that the network sees arrays as they are. Sources: PlansManager, LabelManager and
DefaultPreprocessor of nnunetv2 2.8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medseg.errors import ContractError
from medseg.plugin import Channel, Input, Label, StepUse, Windows, label_colour

READERS = {
    "SimpleITKIO": "stored",
    "NibabelIO": "stored",
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}
RESAMPLING = {
    "resampling_fn_data": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_probabilities": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
}
_PLAIN = "PlainConvUNet"
_NETWORKS = {_PLAIN: ("plain-unet", "n_conv_per_stage", "convs")} | {
    "ResidualEncoderUNet": ("residual-unet", "n_blocks_per_stage", "blocks")
}
# What the network's blocks are here; anything else is refused, as another number would change its answer.
_BLOCKS = {
    "nonlin": ("torch.nn.LeakyReLU", "torch.nn.modules.activation.LeakyReLU"),
    "norm_op_kwargs": ({"eps": 1e-05, "affine": True}, {"affine": True, "eps": 1e-05}),
    "nonlin_kwargs": ({"inplace": True}, {}, None),
    "nonlin_first": (False, None),
    "block": (None,),
    "bottleneck_channels": (None,),
    "stem_channels": (None,),
}
_KNOWN = {
    "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage",
    "n_blocks_per_stage", "n_conv_per_stage_decoder", "conv_bias", "norm_op", "dropout_op",
    "dropout_op_kwargs", "deep_supervision", *_BLOCKS,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plans:
    """One configuration of plans.json, with the parents that it inherits from.

    Args:
        values: of the configuration.
        whole: all of plans.json.
        order: for each axis i, j, k the network's axis.
    """

    values: Mapping[str, Any]
    whole: Mapping[str, Any]
    order: tuple[int, ...]

    def arranged(self, sizes: Sequence[Any]) -> tuple[Any, ...]:
        """Something for each axis of the network, in the order i, j, k."""
        return tuple(sizes[axis] for axis in self.order)


def read_plans(whole: Mapping[str, Any], configuration: str) -> Plans:
    """Resolve a configuration.

    Raises:
        ContractError: there is no such configuration, or it is one that medseg does not run.
    """
    values = _inherited(whole.get("configurations", {}), configuration, ())
    if len(values["patch_size"]) != 3:
        raise ContractError(
            f"plans.json: configuration {configuration!r} is two-dimensional, and medseg imports 3-D ones; "
            "choose 3d_fullres or 3d_lowres"
        )
    if values.get("previous_stage"):
        raise ContractError(
            f"plans.json: configuration {configuration!r} is a cascade: it reads the result of "
            f"{values['previous_stage']!r}, and medseg imports models that read an image; choose another"
        )
    forward = [int(axis) for axis in whole["transpose_forward"]]
    order = tuple(forward.index(2 - axis) for axis in range(3))
    return Plans(values=values, whole=whole, order=order)


def _inherited(all_: Mapping[str, Any], name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    if name not in all_ or name in seen:
        raise ContractError(
            f"plans.json: there is no usable configuration {name!r}; there are {', '.join(all_) or 'none'}"
        )
    own = dict(all_[name])
    parent = own.pop("inherits_from", None)
    return {**_inherited(all_, parent, (*seen, name)), **own} if parent else own


def input_of(plans: Plans, dataset: Mapping[str, Any], *, orientation: str, mirror: Sequence[int]) -> Input:
    """The contract's input.

    Args:
        plans, dataset: the two files.
        orientation: that of the training data, if the user knows it; empty for what the reader implies.
        mirror: the network's axes along which it may be mirrored.

    Raises:
        ContractError: something that medseg does not reproduce, by its name in plans.json.
    """
    reader = plans.whole.get("image_reader_writer")
    if reader not in READERS:
        raise _unknown("image_reader_writer", reader, READERS)
    if plans.values.get("preprocessor_name") != "DefaultPreprocessor":
        raise _unknown("preprocessor_name", plans.values.get("preprocessor_name"), ["DefaultPreprocessor"])
    for key, wanted in RESAMPLING.items():
        function, given = plans.values.get(key), plans.values.get(f"{key}_kwargs")
        if function != "resample_data_or_seg_to_shape" or given != wanted:
            raise ContractError(
                f"plans.json: {key} is {function} with {given}; medseg reproduces "
                f"resample_data_or_seg_to_shape with {wanted}"
            )
    names = dataset.get("channel_names") or dataset.get("modality") or {}
    return Input(
        channels=tuple(_channel(plans, names, number) for number in range(len(names))),
        spacing_mm=plans.arranged([float(mm) for mm in plans.values["spacing"]]),
        orientation=orientation or READERS[reader],
        patch=Windows(size=plans.arranged(plans.values["patch_size"]), overlap=0.5, placement="nnunet"),
        crop="nonzero",
        resampling="nnunet",
        mirror=tuple(axis for axis in range(3) if plans.order[axis] in mirror),
    )


def _channel(plans: Plans, names: Mapping[str, str], number: int) -> Channel:
    name, scheme = str(names[str(number)]), plans.values["normalization_schemes"][number]
    masked = bool(plans.values["use_mask_for_norm"][number]) and scheme == "ZScoreNormalization"
    modality, unit = _kind(name, scheme)
    return Channel(
        name=name,
        modality=modality,
        unit=unit,
        steps=_normalisation(plans, scheme, number),
        within="nonzero" if masked else "all",
    )


def _normalisation(plans: Plans, scheme: str, number: int) -> tuple[StepUse, ...]:
    known = plans.whole.get("foreground_intensity_properties_per_channel") or plans.whole.get(
        "foreground_intensity_properties_by_modality", {}
    )
    if scheme == "CTNormalization":
        of = known[str(number)]
        deviation = max(float(of["std"]), 1e-8)
        return (
            ("clip", {"low": float(of["percentile_00_5"]), "high": float(of["percentile_99_5"])}),
            ("scale", {"factor": 1 / deviation, "offset": -float(of["mean"]) / deviation}),
        )
    schemes: dict[str, tuple[StepUse, ...]] = {
        "ZScoreNormalization": (("zscore", {}),),
        "NoNormalization": (),
        "RescaleTo01Normalization": (("rescale", {"low": 0.0, "high": 1.0}),),
        "RGBTo01Normalization": (("scale", {"factor": 1 / 255}),),
    }
    if scheme not in schemes:
        raise _unknown("normalization_schemes", scheme, ["CTNormalization", *schemes])
    return schemes[scheme]


def _kind(name: str, scheme: str) -> tuple[str, str]:
    """Modality and unit; nnU-Net has a free name alone, and CT's scheme means Hounsfield units."""
    if scheme == "CTNormalization" or name.casefold() == "ct":
        return "CT", "HU"
    plain = name.casefold()
    if plain in ("pet", "pt", "suv"):
        return "PT", "arbitrary"
    return (
        "MR" if any(part in plain for part in ("mr", "t1", "t2", "flair", "dwi", "adc")) else "arbitrary"
    ), ("arbitrary")


def labels_of(dataset: Mapping[str, Any]) -> tuple[tuple[Label, ...], bool]:
    """The labels in the order of the network's channels, background first; and whether they are regions.

    Raises:
        ContractError: labels that are not 0, 1, 2 and so on, or regions without their order.
    """
    given = {str(name): value for name, value in dataset["labels"].items() if name != "ignore"}
    regions = {name: value for name, value in given.items() if value not in (0, [0])}
    if any(isinstance(value, list) and len(value) > 1 for value in given.values()):
        order = dataset.get("regions_class_order")
        if order is None or len(order) != len(regions):
            raise ContractError(
                f"dataset.json: regions_class_order is {order}, wanted a label for each of "
                f"{', '.join(regions)}"
            )
        values = [int(value) for value in order]
        if min(values) < 1 or len(set(values)) < len(values):
            raise ContractError(
                f"dataset.json: regions_class_order is {order}; medseg reproduces numbers above 0, each once"
            )
        return _labels(["background", *_region_names(regions)], [0, *values]), True
    plain = {name: int(value[0] if isinstance(value, list) else value) for name, value in given.items()}
    names = sorted(plain, key=lambda name: plain[name])
    if [plain[name] for name in names] != list(range(len(names))):
        raise ContractError(f"dataset.json: the labels are {plain}; wanted 0 for background, 1, 2 and so on")
    return _labels(names, list(range(len(names)))), False


def _region_names(regions: Mapping[str, Any]) -> list[str]:
    """A later region is painted over an earlier one, whose label is then what is left of it."""
    sets = [(name, set(v) if isinstance(v, list) else {v}) for name, v in regions.items()]
    names = []
    for number, (name, values) in enumerate(sets):
        later = [other for other, inner in sets[number + 1 :] if values & inner]
        names.append(f"{name} outside {' and '.join(later)}" if later else name)
    return names


def _labels(names: Sequence[str], values: Sequence[int]) -> tuple[Label, ...]:
    return tuple(
        Label(value=value, name=name, colour="#000000" if value == 0 else label_colour(value))
        for name, value in zip(names, values, strict=True)
    )


def network_of(plans: Plans, *, batch_norm: bool) -> tuple[str, dict[str, Any]]:
    """The architecture's name and options.

    Args:
        plans: the configuration.
        batch_norm: what the checkpoint holds; a trainer may use it whatever the plans say.

    Raises:
        ContractError: a network that medseg does not have.
    """
    form = plans.values.get("architecture") or _old_form(plans.values)
    kind, given = str(form["network_class_name"]).rpartition(".")[2], form["arch_kwargs"]
    if kind not in _NETWORKS:
        raise _unknown("network_class_name", form["network_class_name"], _NETWORKS)
    unknown = sorted(set(given) - _KNOWN)
    wrong = [key for key, wanted in _BLOCKS.items() if key in given and given[key] not in wanted]
    if unknown or wrong:
        shown = ", ".join(f"{key}={given[key]!r}" for key in [*unknown, *wrong])
        raise ContractError(f"plans.json: the network is made with {shown}, which medseg does not reproduce")
    architecture, counted, option = _NETWORKS[kind]
    stages = int(given["n_stages"])
    options = {
        "features": _each(given["features_per_stage"], stages),
        "kernels": tuple(plans.arranged(_axes(k)) for k in _each(given["kernel_sizes"], stages)),
        "strides": tuple(plans.arranged(_axes(s)) for s in _each(given["strides"], stages)),
        option: _each(given[counted], stages),
        "decoder_convs": _each(given["n_conv_per_stage_decoder"], stages - 1),
        "norm": _norm(str(given.get("norm_op")), batch_norm=batch_norm),
        "bias": bool(given.get("conv_bias", False)),
    }
    return f"nnunet:{architecture}", options


def _norm(given: str, *, batch_norm: bool) -> Literal["instance", "batch"]:
    if not any(kind in given for kind in ("InstanceNorm3d", "BatchNorm3d")):
        raise _unknown("norm_op", given, ["InstanceNorm3d", "BatchNorm3d"])
    return "batch" if batch_norm else "instance"


def _old_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plans before nnU-Net 2.3, TotalSegmentator's among them, describe the network in other words."""
    kind = values.get("UNet_class_name")
    counts = values.get("n_conv_per_stage_encoder", [])
    base, most = values.get("UNet_base_num_features", 0), values.get("unet_max_num_features", 0)
    return {
        "network_class_name": str(kind),
        "arch_kwargs": {
            "n_stages": len(counts),
            "features_per_stage": [min(base * 2**stage, most) for stage in range(len(counts))],
            "kernel_sizes": values.get("conv_kernel_sizes"),
            "strides": values.get("pool_op_kernel_sizes"),
            "n_conv_per_stage" if kind == _PLAIN else "n_blocks_per_stage": counts,
            "n_conv_per_stage_decoder": values.get("n_conv_per_stage_decoder"),
            "conv_bias": True,
            "norm_op": "InstanceNorm3d",
        },
    }


def _each(value: Any, stages: int) -> tuple[Any, ...]:
    """One value for all stages, or one for each."""
    return tuple(value) if isinstance(value, list | tuple) else (value,) * stages


def _axes(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,) * 3


def _unknown(key: str, got: Any, known: Any) -> ContractError:
    return ContractError(f"plans.json: {key} is {got!r}; medseg reproduces {', '.join(known)}")

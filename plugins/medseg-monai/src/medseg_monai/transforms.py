"""MONAI's transforms before and after the network as what a contract says, by their names.

Numbers and defaults are those of monai.transforms 1.6.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from medseg.plugin import StepUse
from medseg_monai.config import Component

_NO_CHANGE = {
    "LoadImage", "EnsureChannelFirst", "EnsureType", "ToTensor", "ToDevice", "AsChannelFirst", "AddChannel",
    "SelectItems", "CopyItems", "DeleteItems", "Identity",
}  # fmt: skip
_AFTER_NO_CHANGE = {
    "EnsureType", "ToTensor", "ToDevice", "Invert", "SaveImage", "Identity", "CopyItems", "DeleteItems",
    "SelectItems",
}  # fmt: skip
_AXES = "LRPAIS"  # two for each axis
_PLACE = ("keys", "allow_missing_keys", "lazy", "dtype")  # which say nothing of the values


@dataclass(kw_only=True)
class Before:
    """What the transforms before the network come to.

    Args:
        channels: of the image.
        orientation: axis codes, or ``stored``.
        spacing_mm: or None.
        interpolation: to that spacing.
        first: intensity steps before the resampling.
        then: intensity steps after it.
    """

    channels: int
    orientation: str = "stored"
    spacing_mm: tuple[float, float, float] | None = None
    interpolation: str = "linear"
    first: list[StepUse] = field(default_factory=list)
    then: list[StepUse] = field(default_factory=list)

    def add(self, *steps: StepUse) -> None:
        """Further steps on the intensities."""
        (self.first if self.spacing_mm is None else self.then).extend(steps)

    def by_channel(self, component: Component, *, each: bool) -> None:
        """Refuse what looks at the values of all channels together."""
        if self.channels > 1 and not each:
            raise component.refused("looks at all channels together, and medseg at each by itself")


def read_before(transforms: Sequence[Component], channels: int) -> Before:
    """What the transforms before the network come to.

    Raises:
        ContractError: one that medseg does not reproduce, by its name.
    """
    found = Before(channels=channels)
    for component in transforms:
        plain = component.name.removesuffix("Dict").removesuffix("D").removesuffix("d")
        if plain in _NO_CHANGE:
            continue
        if plain not in _BEFORE:
            known = ", ".join(sorted({*_BEFORE, *_NO_CHANGE}))
            raise component.refused(f"is not among what medseg reproduces before the network: {known}")
        _BEFORE[plain](component, found)
    if found.spacing_mm is None:
        found.first, found.then = [], found.first
    return found


def _orientation(component: Component, found: Before) -> None:
    component.knows("axcodes", "as_closest_canonical", "labels", *_PLACE)
    component.wants("as_closest_canonical", [False])
    component.wants("labels", [None, [["L", "R"], ["P", "A"], ["I", "S"]]])
    if found.spacing_mm:
        raise component.refused(
            "comes after the spacing, which is along the axes of the file then; swap them"
        )
    codes = component.value("axcodes")
    axes = [_AXES.find(code) // 2 for code in codes] if isinstance(codes, str) else []
    if sorted(axes) != [0, 1, 2]:
        raise component.refused(
            f"has axcodes={codes!r}; wanted one letter of each of L R, P A and I S, such as RAS"
        )
    found.orientation = codes


def _spacing(component: Component, found: Before) -> None:
    component.knows(
        "pixdim", "mode", "diagonal", "padding_mode", "align_corners", "recompute_affine", "scale_extent",
        "min_pixdim", "max_pixdim", "ensure_same_shape", *_PLACE,
    )  # fmt: skip
    for key in ("diagonal", "align_corners", "min_pixdim", "max_pixdim"):
        component.wants(key, [None, False, [None], [False]])
    mode, pixdim = _one(component.value("mode", default="bilinear")), component.value("pixdim")
    modes = {"bilinear": "linear", "nearest": "nearest", 0: "nearest", 1: "linear", 3: "cubic"}
    if mode not in list(modes):  # a list, which a dictionary cannot look up, is none of them
        raise component.refused(f"has mode={mode!r}; medseg reproduces {', '.join(map(str, modes))}")
    pixdim = [pixdim] * 3 if isinstance(pixdim, int | float) else pixdim
    sound = (
        isinstance(pixdim, list) and len(pixdim) == 3 and all(isinstance(mm, int | float) for mm in pixdim)
    )
    if not sound or min(pixdim) <= 0:
        raise component.refused(f"has pixdim={pixdim!r}; wanted three numbers above 0")
    if found.spacing_mm:
        raise component.refused("is the second of its kind")
    found.spacing_mm = (float(pixdim[0]), float(pixdim[1]), float(pixdim[2]))
    found.interpolation = modes[mode]


def _scale_range(component: Component, found: Before) -> None:
    component.knows("a_min", "a_max", "b_min", "b_max", "clip", *_PLACE)
    low, high = _numbers(component, "a_min", "a_max")
    least, most = component.value("b_min"), component.value("b_max")
    nowhere = least is None and most is None
    if high == low:
        raise component.refused(f"maps {low} .. {high} to {least} .. {most}; wanted two ranges")
    begin, end = (0.0, 1.0) if nowhere else _numbers(component, "b_min", "b_max")
    factor = (end - begin) / (high - low)
    found.add(("scale", {"factor": factor, "offset": begin - low * factor}))
    if component.value("clip", default=False):
        if nowhere:
            raise component.refused("clips without b_min and b_max")
        found.add(("clip", {"low": begin, "high": end}))


def _scale_percentiles(component: Component, found: Before) -> None:
    component.knows("lower", "upper", "b_min", "b_max", "clip", "relative", "channel_wise", *_PLACE)
    component.wants("relative", [False])
    if component.value("clip", default=False) is not True:
        raise component.refused("does not clip; medseg reproduces it with clip=True")
    found.by_channel(component, each=component.value("channel_wise", default=False))
    low, high = _numbers(component, "lower", "upper")
    least, most = _numbers(component, "b_min", "b_max")
    found.add(("clip-percentiles", {"low": low, "high": high}), ("rescale", {"low": least, "high": most}))


def _clip_percentiles(component: Component, found: Before) -> None:
    component.knows("lower", "upper", "sharpness_factor", "channel_wise", "return_clipping_values", *_PLACE)
    component.wants("sharpness_factor", [None])
    found.by_channel(component, each=component.value("channel_wise", default=False))
    low, high = _numbers(component, "lower", "upper")
    found.add(("clip-percentiles", {"low": low, "high": high}))


def _scale(component: Component, found: Before) -> None:
    component.knows("minv", "maxv", "factor", "channel_wise", *_PLACE)
    component.wants("factor", [None])
    found.by_channel(component, each=component.value("channel_wise", default=False))
    least, most = _numbers(component, "minv", "maxv", defaults=(0.0, 1.0))
    found.add(("rescale", {"low": least, "high": most}))


def _normalise(component: Component, found: Before) -> None:
    component.knows("subtrahend", "divisor", "nonzero", "channel_wise", *_PLACE)
    mean, deviation = component.value("subtrahend"), component.value("divisor")
    nonzero = bool(component.value("nonzero", default=False))
    if mean is None and deviation is None:
        found.by_channel(component, each=component.value("channel_wise", default=False))
        found.add(("zscore", {"nonzero": True} if nonzero else {}))
        return
    mean, deviation = (_one(x) if isinstance(x, list) else x for x in (mean, deviation))
    if (
        nonzero
        or not isinstance(mean, int | float)
        or not isinstance(deviation, int | float)
        or not deviation
    ):
        raise component.refused(
            f"subtracts {mean!r} and divides by {deviation!r}, with nonzero={nonzero}; medseg reproduces one "
            "number for each, everywhere"
        )
    found.add(("scale", {"factor": 1 / deviation, "offset": -mean / deviation}))


_BEFORE: dict[str, Callable[[Component, Before], None]] = {
    "Orientation": _orientation,
    "Spacing": _spacing,
    "ScaleIntensityRange": _scale_range,
    "ScaleIntensityRangePercentiles": _scale_percentiles,
    "ClipIntensityPercentiles": _clip_percentiles,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalise,
}


@dataclass(kw_only=True)
class After:
    """What the transforms after the network come to.

    Args:
        outputs: channels of the network.
        sigmoid: was applied to each channel.
        discrete: the scores have become labels, or masks.
        regions: each channel is one of its own.
        steps: on the labels.
    """

    outputs: int
    sigmoid: bool = False
    discrete: bool = False
    regions: bool = False
    steps: list[StepUse] = field(default_factory=list)


def read_after(transforms: Sequence[Component], outputs: int) -> After:
    """What the transforms after a network of some output channels come to.

    Raises:
        ContractError: one that medseg does not reproduce, by its name.
    """
    found = After(outputs=outputs, regions=outputs == 1)
    for component in transforms:
        plain = component.name.removesuffix("Dict").removesuffix("D").removesuffix("d")
        if plain in _AFTER_NO_CHANGE:
            continue
        if plain not in _AFTER:
            raise component.refused("is not among what medseg reproduces after the network")
        _AFTER[plain](component, found)
    return found


def _activations(component: Component, found: After) -> None:
    component.knows("softmax", "sigmoid", *_PLACE)
    if _of_prediction(component, "softmax") and found.outputs == 1:
        raise component.refused("applies softmax to one channel, which is 1 everywhere then")
    if _of_prediction(component, "sigmoid"):
        found.sigmoid = found.regions = True


def _as_discrete(component: Component, found: After) -> None:
    component.knows("argmax", "threshold", "to_onehot", "rounding", *_PLACE)
    component.wants("rounding", [None])
    threshold = _of_prediction(component, "threshold")
    if _of_prediction(component, "argmax"):
        if found.outputs == 1 or threshold is not None:
            raise component.refused(
                f"takes the largest of {found.outputs} channels, and then threshold={threshold!r}; medseg "
                "reproduces the largest of several channels, or a threshold on each"
            )
        found.regions = False  # the largest score is the largest after a sigmoid, too
    elif threshold is not None and not (found.sigmoid and threshold == 0.5):
        where = "after" if found.sigmoid else "without"
        raise component.refused(
            f"has threshold={threshold!r} on scores {where} a sigmoid; medseg reproduces 0.5 after a sigmoid"
        )
    found.discrete = True


def _largest_component(component: Component, found: After) -> None:
    component.knows("independent", "is_onehot", "connectivity", "num_components", *_PLACE)
    component.wants("independent", [True])
    component.wants("connectivity", [None, 3])
    component.wants("num_components", [1])
    if not found.discrete or (found.regions and found.outputs > 1):
        raise component.refused(
            "works on scores, or on regions that overlap, each by itself; medseg reproduces it on labels, "
            "after AsDiscrete"
        )
    found.steps.append(("largest-component", {}))


_AFTER: dict[str, Callable[[Component, After], None]] = {
    "Activations": _activations,
    "AsDiscrete": _as_discrete,
    "KeepLargestConnectedComponent": _largest_component,
}


def _of_prediction(component: Component, key: str) -> Any:
    """An argument of a transform of the network's answer, where it has one value for each of its keys."""
    value, keys = component.value(key), component.value("keys")
    if not isinstance(value, list):
        return value
    if isinstance(keys, list) and len(keys) == len(value) and "pred" in keys:
        return value[keys.index("pred")]
    if not value or value.count(value[0]) != len(value):
        raise component.refused(f"has {key}={value!r} for the keys {keys!r}; wanted one value for pred")
    return value[0]


def _one(value: Any) -> Any:
    """The one value of a list of equal ones, or the value itself."""
    return value[0] if isinstance(value, list) and value and value.count(value[0]) == len(value) else value


def _numbers(
    component: Component, *keys: str, defaults: Sequence[float | None] = (None, None)
) -> tuple[float, ...]:
    values = [component.value(key, default=value) for key, value in zip(keys, defaults, strict=True)]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise component.refused(f"has {dict(zip(keys, values, strict=True))}; wanted numbers")
    return tuple(float(value) for value in values)

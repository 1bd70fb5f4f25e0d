"""What a pretrained model expects of its input, checked; and its description as JSON.

The contract itself (``Model``, ``Input`` and their parts) is in ``medseg.plugin``, because plugins
write it and it must import nothing. Here it meets a volume: ``check`` lists what does not fit.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import numpy as np

from medseg.errors import ContractError
from medseg.geometry import reorient
from medseg.plugin import Channel, Input, Model
from medseg.volume import Volume

LOWEST_HU, HIGHEST_HU = -1100, 4000  # scanners store -1024 to 3071; metal and rounding reach further
AIR_HU_AT_MOST = -500  # lung and air in CT; MR after any usual processing stays above
ANY_UNIT = "arbitrary"  # what a channel says whose values have no unit, as in most MR


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One way in which a volume does not meet a contract.

    Args:
        field: what it is about, such as ``"channels"``.
        got, wanted: as people write them.
        remedy: what to do.
        severity: ``refuse`` stops the run; ``force`` stops it unless the user says that it is meant;
            ``warn`` is shown and recorded.
    """

    field: str
    got: str
    wanted: str
    remedy: str
    severity: Literal["refuse", "force", "warn"]

    def __str__(self) -> str:
        return f"{self.field}: got {self.got}, wanted {self.wanted}; {self.remedy}"


def check(volumes: Sequence[Volume], wanted: Input) -> list[Problem]:
    """List what keeps volumes, one for each channel, from being a sound input.

    Spacing and orientation are not problems: the core brings them to the contract's. What is
    listed could not be mended without guessing.
    """
    names = ", ".join(f"{c.name} ({c.modality}, {c.unit})" for c in wanted.channels)
    if len(volumes) != len(wanted.channels):
        return [
            Problem(
                field="channels",
                got=f"{len(volumes)} volumes",
                wanted=f"{len(wanted.channels)}: {names}",
                remedy="give one volume for each channel, in this order",
                severity="refuse",
            )
        ]
    return [problem for found in _findings(volumes, wanted) for problem in found]


def _findings(volumes: Sequence[Volume], wanted: Input) -> typing.Iterator[list[Problem]]:
    first = volumes[0]
    for channel, volume in zip(wanted.channels, volumes, strict=True):
        if not volume.grid.matches(first.grid):
            yield [
                Problem(
                    field=f"grid of {channel.name}",
                    got=repr(volume.grid),
                    wanted=f"that of {wanted.channels[0].name}, {first.grid!r}",
                    remedy="resample the volumes to one grid first",
                    severity="refuse",
                )
            ]
        yield _kind_problems(channel, volume)
        yield _value_problems(channel.name, channel.unit, volume)
        yield _doubts(channel, volume)
    yield _spacing_problems(first, wanted)
    yield _field_problems(first, wanted)


def _kind_problems(channel: Channel, volume: Volume) -> list[Problem]:
    """A modality or unit that the file states and the contract does not want."""
    pairs = (("modality", volume.modality, channel.modality), ("unit", volume.unit, channel.unit))
    return [
        Problem(
            field=f"{what} of {channel.name}",
            got=got,
            wanted=wanted,
            remedy="choose a model for it, or force this one if you know what you do",
            severity="force",
        )
        for what, got, wanted in pairs
        if got and wanted not in (got, ANY_UNIT)
    ]


def _value_problems(name: str, unit: str, volume: Volume) -> list[Problem]:
    low, high = volume.array.min(), volume.array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        got, wanted, remedy = "NaN or infinite voxels", "numbers", "read it with --allow nonfinite=0"
        return [Problem(field=name, got=got, wanted=wanted, remedy=remedy, severity="refuse")]
    if low == high:
        got, wanted, remedy = f"the one value {low} everywhere", "an image", "is this the right file?"
        return [Problem(field=name, got=got, wanted=wanted, remedy=remedy, severity="refuse")]
    display = low >= 0 and high <= 255
    if unit != "HU" or (not display and low >= LOWEST_HU and high <= HIGHEST_HU):
        return []
    got, wanted = f"values from {low:g} to {high:g}", f"Hounsfield units, {LOWEST_HU} to {HIGHEST_HU}"
    remedy = "it looks windowed for display; use the original series" if display else "is this CT, in HU?"
    return [Problem(field=name, got=got, wanted=wanted, remedy=remedy, severity="warn")]


def _doubts(channel: Channel, volume: Volume) -> list[Problem]:
    """Values that speak against the channel's modality, in a file that does not state its own."""
    low, high = volume.array.min(), volume.array.max()
    if volume.modality or low == high or not np.isfinite(low):
        return []  # the file says what it is, or the values are refused already
    wanted = f"{channel.modality} values"
    if channel.modality == "MR" and low <= AIR_HU_AT_MOST:
        got, remedy = f"values from {low:g} to {high:g}", "is this CT? MR has none so far below 0"
    elif bool(((volume.array == low) | (volume.array == high)).all()):
        got, remedy = f"the two values {low:g} and {high:g}", "is this a mask?"
    else:
        return []
    return [Problem(field=channel.name, got=got, wanted=wanted, remedy=remedy, severity="warn")]


def _spacing_problems(volume: Volume, wanted: Input) -> list[Problem]:
    limit = 3 * max(wanted.spacing_mm) if wanted.spacing_mm else math.inf
    if max(volume.spacing_mm) <= limit:
        return []
    return [
        Problem(
            field="spacing",
            got=_millimetres(volume.spacing_mm),
            wanted=f"near {_millimetres(wanted.spacing_mm or ())}",
            remedy="expect a worse result: voxels are over three times coarser than in training",
            severity="warn",
        )
    ]


def _field_problems(volume: Volume, wanted: Input) -> list[Problem]:
    if wanted.field_mm is None:
        return []
    seen = reorient(volume, wanted.orientation)[0]
    extent = [n * mm for n, mm in zip(seen.shape, seen.spacing_mm, strict=True)]
    if all(got >= least for got, least in zip(extent, wanted.field_mm, strict=True)):
        return []
    return [
        Problem(
            field="field of view",
            got=_millimetres(extent),
            wanted=f"at least {_millimetres(wanted.field_mm)} along {wanted.orientation}",
            remedy="a part may be missing, and so from the result",
            severity="warn",
        )
    ]


def _millimetres(lengths: Sequence[float]) -> str:
    return " x ".join(f"{mm:.3g}" for mm in lengths) + " mm"


def to_json(model: Model) -> dict[str, Any]:
    """A model's description as plain JSON values; ``from_json`` reads it back."""
    return typing.cast(dict[str, Any], _plain(model))


def from_json(data: Mapping[str, Any]) -> Model:
    """A model's description from plain JSON values.

    Raises:
        ContractError: a field is unknown or missing; spacing, orientation, channels, labels,
            sha256 and licence have no default.
    """
    return typing.cast(Model, _build(Model, data, "model"))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        # A union of dataclasses (windows, slices or a whole grid) is told apart by its name.
        return {"kind": type(value).__name__, **plain} if type(value).__name__ in _UNION else plain
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


_UNION = {"Slices", "WholeGrid", "Windows"}


def _build(cls: type[Any], data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong(where, data, f"the fields of a {cls.__name__}")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = typing.get_type_hints(cls)
    given = {key: value for key, value in data.items() if not (key == "kind" and cls.__name__ in _UNION)}
    unknown = sorted(set(given) - set(fields))
    missing = sorted(
        name
        for name, f in fields.items()
        if name not in given and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    if unknown or missing:
        raise ContractError(
            f"{where}: "
            + "; ".join(
                part
                for part in (
                    f"unknown fields {', '.join(unknown)}" if unknown else "",
                    f"missing fields {', '.join(missing)}" if missing else "",
                )
                if part
            )
            + f". A {cls.__name__} has the fields {', '.join(fields)}"
        )
    values = {key: _typed(hints[key], value, f"{where}.{key}") for key, value in given.items()}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{where}: {error}") from error


def _typed(kind: Any, value: Any, where: str) -> Any:
    """Lists and objects of JSON as the tuples and dataclasses that a field is annotated with."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None and type(None) in parts else _typed_union(parts, value, where)
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type[Any], kind), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(where, value, "a list")
        kinds = parts[:1] * len(value) if Ellipsis in parts else parts
        if len(kinds) != len(value):
            raise _wrong(where, value, f"a list of {len(kinds)}")
        return tuple(_typed(k, v, f"{where}[{n}]") for n, (k, v) in enumerate(zip(kinds, value, strict=True)))
    return value  # the description itself refuses what does not fit its annotations


def _typed_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    choices = {option.__name__: option for option in options if option is not type(None)}
    if len(choices) == 1:
        return _typed(next(iter(choices.values())), value, where)
    named = value.get("kind") if isinstance(value, Mapping) else None
    if named not in choices:
        raise ContractError(f"{where}: kind {named!r} is not one of {', '.join(sorted(choices))}")
    return _typed(choices[named], value, where)


def _wrong(where: str, got: Any, wanted: str) -> ContractError:
    return ContractError(f"{where}: got {got!r}, wanted {wanted}")

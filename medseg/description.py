"""A model's description as JSON, and back, held to the fields of its dataclasses.

Standard library only, so that models in folders can be listed without numpy.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from medseg.errors import ContractError
from medseg.model import Model


def to_json(model: Model) -> dict[str, Any]:
    """A model's description as plain JSON values; ``from_json`` reads it back."""
    return typing.cast(dict[str, Any], as_json(model))


def from_json(data: Mapping[str, Any]) -> Model:
    """A model's description from plain JSON values.

    Raises:
        ContractError: a field is unknown or missing; spacing, orientation, channels, labels,
            sha256 and licence have no default.
    """
    return typing.cast(Model, _build(Model, data, "model"))


def as_json(value: Any) -> Any:
    """A description, or a part of one, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        # A union of dataclasses (windows, slices or a whole grid) is told apart by its name.
        return {"kind": type(value).__name__, **plain} if type(value).__name__ in _UNION else plain
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
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

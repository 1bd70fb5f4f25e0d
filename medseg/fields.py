"""Hold a description to its annotations when it is made, in the plugin that makes it.

Python does not. But ``suffixes=(".xyz")``, a string for want of a comma, would claim the suffixes
``.``, ``x``, ``y`` and ``z``, and a model whose ``input`` is None would break every list of models,
not its own plugin alone. Standard library only: ``medseg.plugin`` imports this.
"""

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin


def check_fields(description: Any, *, owner: str) -> None:
    """Compare each field of a dataclass, and of the dataclasses in it, with its annotation.

    Args:
        description: an instance of a dataclass whose annotations are scalars, ``Literal``, tuples,
            unions, ``Mapping[str, Any]`` of options, and such dataclasses.
        owner: what the message names.

    Raises:
        TypeError: a field holds something else.
    """
    for name, kind in typing.get_type_hints(type(description)).items():
        value = getattr(description, name)
        if not _fits(kind, value):
            raise TypeError(f"{owner}: {name} is {value!r}, wanted {_spell(kind)}")
        for part in value if isinstance(value, tuple) else (value,):
            if is_dataclass(part):
                check_fields(part, owner=f"{owner}, {name}")


def _fits(kind: Any, value: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in parts
    if origin in (typing.Union, types.UnionType):
        return any(_fits(part, value) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = parts[:1] * len(value) if Ellipsis in parts else parts
        return len(value) == len(kinds) and all(map(_fits, kinds, value))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and _is_option(item) for key, item in value.items()
        )
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return isinstance(value, kind)


def _is_option(value: Any) -> bool:
    """Whether a value can be an option, and so be written as JSON."""
    if isinstance(value, tuple | list):
        return all(map(_is_option, value))
    return isinstance(value, int | float | bool | str)


def _spell(kind: Any) -> str:
    """A type without the modules of its names: ``tuple[Label, ...]``."""
    return kind.__name__ if isinstance(kind, type) else re.sub(r"(\w+\.)+", "", str(kind))

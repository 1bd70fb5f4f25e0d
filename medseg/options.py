"""A component's options are its factory's keyword-only signature; there is no second schema.

The command line's ``-o width=32``, the viewer's form and a checkpoint's record all read it here.
Allowed types: int, float, bool, str, ``Literal`` and tuples of those, each with a default. In text the values
of a tuple stand between commas, and tuples in a tuple between semicolons: ``3,3,3;1,3,3``.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from medseg.errors import OptionError

SCALARS = (int, float, bool, str)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: its name, its type and its default."""

    name: str
    type: Any
    default: Any

    @property
    def type_name(self) -> str:
        """The type as people write it: ``int``, ``'same'|'valid'``, ``float,float``."""
        return _type_name(self.type)

    def __str__(self) -> str:
        return f"{self.name}={_spell(self.default)} ({self.type_name})"


def options_of(factory: Callable[..., Any]) -> dict[str, Option]:
    """The options of a factory, by name, in the order of its signature.

    Raises:
        OptionError: a keyword-only parameter has no default, or a type that is not allowed or
            not known when the program runs.
    """
    target = factory.__init__ if inspect.isclass(factory) else factory
    where = f"{factory.__module__}:{getattr(factory, '__qualname__', factory)}"
    try:
        hints = typing.get_type_hints(target)
    except (NameError, TypeError) as error:
        raise OptionError(
            f"the annotations of {where} cannot be read: {error}. A factory is a function or a class whose "
            "annotations name what its module imports when it runs, not under TYPE_CHECKING alone"
        ) from error
    found = {}
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name in _GIVEN:
            continue
        kind = hints.get(parameter.name, Any)
        if parameter.default is parameter.empty or not _allowed(kind):
            raise OptionError(
                f"option {parameter.name!r} of {where} must have a default and one of the types int, float, "
                f"bool, str, Literal or a tuple of those; found {inspect.formatannotation(kind)}"
            )
        found[parameter.name] = Option(name=parameter.name, type=kind, default=parameter.default)
    return found


_GIVEN = {"dims", "kind"}  # keyword-only parameters that the caller sets, never a user's option


def check_options(factory: Callable[..., Any], given: Mapping[str, Any], *, owner: str) -> dict[str, Any]:
    """Check option values (strings are read as their type) and return them, without defaults.

    Args:
        factory: the component's factory.
        given: values by name; text such as ``"32"``, ``"1,2,3"`` or ``"3;1,3,3"`` is converted.
        owner: the component's full name, for messages.

    Raises:
        OptionError: an unknown name or a value of the wrong type; the valid ones are listed.
    """
    known = options_of(factory)
    checked = {}
    for name, value in given.items():
        if name not in known:
            offers = "; ".join(str(option) for option in known.values()) or "none"
            raise OptionError(f"{owner} has no option {name!r}. It takes: {offers}")
        try:
            checked[name] = _convert(known[name].type, value)
        except (TypeError, ValueError, OverflowError):
            raise OptionError(
                f"{owner}: option {name} is {value!r}, wanted {known[name].type_name} "
                f"(default {_spell(known[name].default)})"
            ) from None
    return checked


def parse_pairs(pairs: tuple[str, ...], *, flag: str, example: str = "orientation=sform") -> dict[str, Any]:
    """Read ``("width=32", "norm=batch")`` into a dictionary.

    Raises:
        OptionError: a pair has no equals sign.
    """
    parsed: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise OptionError(f"{flag} {pair!r}: write NAME=VALUE, such as {example}")
        parsed[name.strip().replace("-", "_")] = value.strip()
    return parsed


def _allowed(kind: Any) -> bool:
    if get_origin(kind) is Literal or kind in SCALARS:
        return True
    if get_origin(kind) is tuple:
        return all(_allowed(item) for item in get_args(kind) if item is not Ellipsis)
    return False


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(repr(value) for value in get_args(kind))
    if get_origin(kind) is tuple:
        names = ("..." if item is Ellipsis else _type_name(item) for item in get_args(kind))
        return _between(kind).join(names)
    return str(getattr(kind, "__name__", kind))


def _between(kind: Any) -> str:
    """What stands between the values of a tuple in text."""
    return ";" if any(get_origin(item) is tuple for item in get_args(kind)) else ","


def _spell(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return (";" if any(isinstance(item, tuple) for item in value) else ",").join(map(_spell, value))


def _convert(kind: Any, value: Any) -> Any:
    if get_origin(kind) is Literal:
        match = [choice for choice in get_args(kind) if choice == value or str(choice) == value]
        if not match:
            raise ValueError(value)
        return match[0]
    if get_origin(kind) is tuple:
        parts = value.split(_between(kind)) if isinstance(value, str) else list(value)
        kinds = [k for k in get_args(kind) if k is not Ellipsis]
        kinds = kinds * len(parts) if Ellipsis in get_args(kind) else kinds
        return tuple(_convert(k, part) for k, part in zip(kinds, parts, strict=True))
    if kind is bool:
        truth = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if isinstance(value, str) and value.lower() in truth:
            return truth[value.lower()]
        if isinstance(value, bool):
            return value
        raise ValueError(value)
    if isinstance(value, bool) or (not isinstance(value, str) and kind is str):
        raise ValueError(value)
    converted = kind(value)
    if kind is int and not isinstance(value, str) and converted != value:
        raise ValueError(value)  # 2.5 for an int
    return converted

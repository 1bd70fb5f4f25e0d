"""A bundle's configuration as data: references are followed to literals, expressions are refused.

MONAI's ConfigParser evaluates what begins with ``$`` as Python, and makes an object of any class that
``_target_`` names. Neither is done here. Source: monai.bundle.reference_resolver, 1.6.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.errors import ContractError

DEEPEST = 32  # references from one to the next


@dataclass(frozen=True, kw_only=True)
class Config:
    """One file of a bundle; only what is asked for is looked at, so an expression elsewhere does no harm.

    Args:
        path: for messages.
        values: as JSON says.
    """

    path: Path
    values: Mapping[str, Any]

    def component(self, *names: str) -> "Component | None":
        """The component under the first of some names that the file has; None if it has none of them."""
        name = next((name for name in names if name in self.values), None)
        return None if name is None else self.made(self.values[name], name)

    def made(self, value: Any, where: str) -> "Component":
        """What a value describes: a class by name, and its arguments.

        Raises:
            ContractError: it describes none, or one of another package than MONAI.
        """
        value = self._followed(value, where)
        name = value.get("_target_") if isinstance(value, dict) else None
        if not isinstance(name, str):
            raise ContractError(f"{self.path}: {where} is {value!r}; wanted an object with a _target_")
        package, _, plain = name.rpartition(".")
        if package and package.partition(".")[0] != "monai":
            raise ContractError(
                f"{self.path}: {where} is {name}, which is no class of MONAI but other code; medseg does not "
                "run it"
            )
        arguments = {key: inner for key, inner in value.items() if key not in ("_target_", "_desc_")}
        return Component(name=plain, where=where, arguments=arguments, config=self)

    def plain(self, value: Any, where: str) -> Any:
        """A value with what it refers to put in.

        Raises:
            ContractError: something in it would have to be run, or refers to nothing.
        """
        value = self._followed(value, where)
        if isinstance(value, dict):
            if "_target_" in value:
                raise ContractError(
                    f"{self.path}: {where} is an object of {value['_target_']}; wanted a value"
                )
            return {key: self.plain(inner, f"{where}::{key}") for key, inner in value.items()}
        if isinstance(value, list):
            return [self.plain(inner, f"{where}::{n}") for n, inner in enumerate(value)]
        return value

    def _followed(self, value: Any, where: str) -> Any:
        """A value, or what it refers to in the end."""
        for _ in range(DEEPEST):
            if not isinstance(value, str) or not value.startswith(("@", "$", "%")):
                return value
            if not value.startswith("@"):
                raise ContractError(
                    f"{self.path}: {where} is {value!r}, an expression of Python or a macro, and medseg runs "
                    "neither; write its value there"
                )
            where, value = value, self._referred(value, where)
        raise ContractError(f"{self.path}: {where} refers to itself")

    def _referred(self, reference: str, where: str) -> Any:
        found: Any = self.values
        for key in reference[1:].replace("#", "::").split("::"):
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise ContractError(
                    f"{self.path}: {where} refers to {reference!r}, and there is no such thing in the file"
                ) from None
        return found


@dataclass(frozen=True, kw_only=True)
class Component:
    """A class that a configuration names, and its arguments as they are written.

    Args:
        name: of the class, without its package.
        where: its place in the file.
        arguments: not yet followed.
        config: the file.
    """

    name: str
    where: str
    arguments: Mapping[str, Any]
    config: Config

    def value(self, key: str, *, default: Any = None) -> Any:
        """One argument as data; see ``Config.plain``."""
        return self.config.plain(self.arguments.get(key, default), f"{self.where}::{key}")

    def knows(self, *keys: str) -> None:
        """Refuse arguments other than these.

        Raises:
            ContractError: there are others.
        """
        other = sorted(set(self.arguments) - set(keys))
        if other:
            shown = ", ".join(f"{key}={self.arguments[key]!r}" for key in other)
            raise self.refused(f"has {shown}, which medseg does not reproduce")

    def wants(self, key: str, allowed: Sequence[Any]) -> None:
        """Refuse an argument that has none of some values, the first of which is MONAI's default.

        Raises:
            ContractError: it has another.
        """
        if (got := self.value(key, default=allowed[0])) not in allowed:
            raise self.refused(f"has {key}={got!r}; medseg reproduces {' or '.join(map(repr, allowed))}")

    def refused(self, why: str) -> ContractError:
        """An error that names this component."""
        return ContractError(f"{self.config.path}: {self.where}, {self.name}, {why}")

    def inner(self, key: str) -> "list[Component]":
        """The components in a list, those left out that are switched off.

        Raises:
            ContractError: as ``Config.made``.
        """
        listed = self.config._followed(self.arguments.get(key, []), f"{self.where}::{key}")
        if not isinstance(listed, list):
            raise self.refused(f"has {key}={listed!r}; wanted a list")
        made = [self.config.made(value, f"{self.where}::{key}::{n}") for n, value in enumerate(listed)]
        return [component for component in made if component.value("_disabled_") not in (True, "true")]


def read_config(path: Path) -> Config:
    """Read a JSON file of a bundle.

    Raises:
        ContractError: it is not there, or is no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        others = sorted(p.name for p in path.parent.glob(f"{path.stem}.y*ml"))
        hint = f"; there is {others[0]}: write it as JSON" if others else ""
        raise ContractError(f"{path}: there is no such file in the bundle{hint}") from None
    except (OSError, ValueError) as error:
        raise ContractError(f"{path} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ContractError(f"{path}: wanted a JSON object")
    return Config(path=path, values=values)

"""What installed distributions declare as their plugins, read one distribution at a time.

``importlib.metadata.entry_points()`` parses the files of all distributions in one go, so that a
single line without an equals sign, in any of them, raises for everybody.
"""

import importlib.metadata
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A plugin by its entry point, and whose it is; ``load`` imports it, and may raise anything."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]


def declared_plugins(group: str) -> list[Declared]:
    """The entry points of a group, by name.

    Sorted, so that which of two distributions keeps a name does not depend on the disk; medseg
    goes first, so that none takes a name from the core. A distribution that is found twice (an
    editable one, say) counts as Python imports it: first on the path. One whose entry points cannot
    be read has one row under its own name, and ``load`` raises why.
    """
    found: list[Declared] = []
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        declared = list(_read(distribution, group))
        owners = {_normal(d.distribution) for d in declared if d.distribution != _UNSTATED}
        if not owners & seen:
            found += declared
        seen |= owners
    return sorted(found, key=lambda d: (d.name, d.distribution != "medseg", d.distribution))


_UNSTATED = "?"


def _read(distribution: importlib.metadata.Distribution, group: str) -> Iterator[Declared]:
    entries: dict[str, Callable[[], Any]] = {}
    try:
        if f"[{group}]" not in (distribution.read_text("entry_points.txt") or ""):
            return
        entries = {entry.name: entry.load for entry in distribution.entry_points.select(group=group)}
    except Exception as error:  # noqa: BLE001  # a damaged file raises whatever its parser stumbles on
        entries[_normal(distribution.metadata["Name"] or "unnamed")] = _refusal(error)
    for name, load in entries.items():
        yield Declared(
            name=name,
            # pip writes both fields, but disks and hands lose them.
            distribution=distribution.metadata["Name"] or _UNSTATED,
            version=distribution.metadata["Version"] or _UNSTATED,
            load=load,
        )


def _refusal(error: Exception) -> Callable[[], NoReturn]:
    def load() -> NoReturn:
        raise ValueError(f"its entry_points.txt cannot be read, reinstall it: {error}") from error

    return load


def _normal(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()

"""Find the installed plugins and their components; one broken plugin never stops another.

pluggy's own ``load_setuptools_entrypoints`` lets the first ``ImportError`` through, and a hook
that raises ends the whole call. So each entry point is loaded, and its hooks called, in a ``try``
of its own, and a failure becomes a row with its reason and traceback.
"""

import contextlib
import difflib
import functools
import importlib
import importlib.resources
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Literal

import pluggy

from medseg import plugin as api
from medseg.errors import AmbiguousNameError, ContractError, MedsegError, PluginError, UnknownNameError
from medseg.installed import Declared, declared_plugins
from medseg.model_folder import is_model_folder, models_folder, read_model

GROUP = "medseg"
LOCAL = "local"
"""In the place of a plugin's name: models in folders, of the user's own."""

Status = Literal["ok", "failed", "incompatible", "refused"]


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A component and the plugin that offers it."""

    component: api.Component
    kind: str
    plugin: str

    @property
    def full_name(self) -> str:
        """``plugin:name``, unique among the components of a kind."""
        return f"{self.plugin}:{self.component.name}"


@dataclass(kw_only=True)
class PluginRecord:
    """One row of ``medseg plugin list``.

    ``status`` is ``ok``; ``failed`` (it raised); ``incompatible`` (its API version);
    or ``refused`` (its name is taken by another distribution). ``package`` holds its entry module.
    """

    name: str
    distribution: str
    version: str
    status: Status = "ok"
    reason: str = ""
    traceback: str = ""
    components: list[Registered] = field(default_factory=list)
    package: str = ""

    def fail(self, status: Status, reason: str, error: BaseException | None = None) -> None:
        """Mark the plugin as unusable; it offers nothing then."""
        self.status, self.reason = status, _one_line(reason)
        self.traceback = "".join(traceback.format_exception(error)) if error else ""
        self.components = []


class _BadPluginError(Exception):
    """A plugin whose module loads but breaks the rules; the message is the reason in its row."""


class _WrongVersionError(_BadPluginError):
    """A plugin written for another version of the plugin API."""


class Registry:
    """What is installed: ``Registry.discover()`` in a program, ``Registry.of(module)`` in a test."""

    def __init__(self, records: Iterable[PluginRecord] = ()) -> None:
        self.records = list(records)

    @classmethod
    def discover(cls) -> "Registry":
        """Load every entry point of the group ``medseg``, and list the user's folder of models.

        ``MEDSEG_PLUGINS=a,b`` allows those alone (empty: none but ``builtin``);
        ``MEDSEG_STRICT=1`` raises the first failure as a ``PluginError`` instead of listing it.
        """
        strict = os.environ.get("MEDSEG_STRICT") == "1"
        allowed = os.environ.get("MEDSEG_PLUGINS")
        names = None if allowed is None else {n.strip() for n in allowed.split(",")} | {"builtin"}
        registry = cls()
        for declared in declared_plugins(GROUP):
            if names is None or declared.name in names:
                registry._add(declared, strict=strict)
        if names is None or LOCAL in names:
            registry.records += _local_models(models_folder())
        return registry

    @classmethod
    def of(cls, **modules: ModuleType | Any) -> "Registry":
        """Register modules or objects by plugin name; failures raise."""
        registry = cls()
        for name, module in modules.items():
            record = PluginRecord(name=name, distribution=name, version="0")
            record.components = _components(name, module)
            registry.records.append(record)
        return registry

    def _add(self, declared: Declared, *, strict: bool) -> None:
        record = PluginRecord(
            name=declared.name, distribution=declared.distribution, version=declared.version
        )
        holder = next((r for r in self.records if r.name == declared.name), None)
        self.records.append(record)
        try:
            # What a plugin prints is not part of the answer that a program asked for.
            with contextlib.redirect_stdout(sys.stderr):
                _check_name(declared.name, holder)
                module = declared.load()
                record.package = getattr(module, "__name__", "").partition(".")[0]
                record.components = _components(declared.name, module)
        except KeyboardInterrupt:
            raise
        # Not Exception alone: exit() at import, pytest.skip() and a panic in Rust are none.
        except BaseException as error:
            if isinstance(error, _BadPluginError):
                status: Status = "incompatible" if isinstance(error, _WrongVersionError) else "failed"
                record.fail("refused" if holder else status, str(error))
            else:
                record.fail("failed", _describe(error), error)
            if strict:
                raise PluginError(
                    f"{record.name} ({record.distribution} {record.version}) {record.status}: {record.reason}"
                ) from error

    @property
    def failures(self) -> list[PluginRecord]:
        """The plugins that are installed and cannot be used."""
        return [record for record in self.records if record.status != "ok"]

    def components(self, kind: str) -> list[Registered]:
        """All components of a kind, by plugin and name."""
        found = [r for record in self.records for r in record.components if r.kind == kind]
        return sorted(found, key=lambda r: (r.plugin, r.component.name))

    def find(self, kind: str, name: str, *, within: str = "", also: str = "") -> Registered:
        """The component called ``plugin:name``, or ``name`` while only one plugin offers it.

        Args:
            kind: a key of ``medseg.plugin.KINDS``.
            name: full or short name.
            also: a second kind whose components serve as well, such as methods beside models.
            within: a plugin whose own components go before others' for a short name.

        Raises:
            UnknownNameError: nothing of that kind has the name.
            AmbiguousNameError: several plugins offer the short name.
        """
        everything = self.components(kind) + (self.components(also) if also else [])
        matches = [r for r in everything if name in (r.full_name, r.component.name)]
        if within and ":" not in name:
            matches = [r for r in matches if r.plugin == within] or matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            offers = ", ".join(r.full_name for r in matches)
            raise AmbiguousNameError(
                f"{kind} {name!r} is offered by {len(matches)} plugins; say which: {offers}"
            )
        raise UnknownNameError(f"no {kind} {name!r}. {self._advice(name, everything)}")

    def _advice(self, name: str, everything: list[Registered]) -> str:
        names = [r.full_name for r in everything if not getattr(r.component, "hidden", False)]
        near = difflib.get_close_matches(name, names + [n.split(":")[1] for n in names], n=1)
        advice = f"Did you mean {near[0]}? " if near else ""
        advice += f"Installed: {', '.join(names) or 'none'}."
        if not names:
            advice += " In a checkout, run: pip install -r requirements.txt"
        for record in self.failures:
            advice += (
                f" The plugin {record.name} ({record.distribution} {record.version}) could not be "
                f"loaded: {record.reason}; see: medseg doctor."
            )
        return advice

    def load(self, registered: Registered) -> Any:
        """Import a component's factory.

        Raises:
            PluginError: the import failed; the message names plugin and distribution.
        """
        return self.load_string(registered, registered.component.factory)

    def load_string(self, registered: Registered, target: str) -> Any:
        """Import ``"package.module:name"`` on behalf of a component."""
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in _add
            record = next(r for r in self.records if r.name == registered.plugin)
            raise PluginError(
                f"{registered.kind} {registered.full_name} of {record.distribution} {record.version} "
                f"cannot be loaded from {target!r}: {_describe(error)}"
            ) from error

    def read_asset(self, registered: Registered, path: str) -> str:
        """The text of a file inside a plugin's package, such as a panel's module.

        Raises:
            PluginError: there is no such file in the package.
        """
        record = next(r for r in self.records if r.name == registered.plugin)
        parts = PurePosixPath(path).parts
        if record.package and parts and ".." not in parts and not path.startswith("/"):
            found = importlib.resources.files(record.package).joinpath(*parts)
            if found.is_file():
                return found.read_text(encoding="utf-8")
        raise PluginError(
            f"{registered.kind} {registered.full_name} of {record.distribution} {record.version} names the "
            f"asset {path!r}, which is no file inside its package {record.package or '(none)'}"
        )

    def versions(self) -> dict[str, str]:
        """The distributions of the usable plugins and their versions, for provenance."""
        return {r.distribution: r.version for r in self.records if r.status == "ok" and r.name != LOCAL}


@functools.cache
def default_registry() -> Registry:
    """The registry of this process, discovered at first use."""
    return Registry.discover()


def folder_model(folder: Path) -> Registered:
    """The model of a folder, wherever it is.

    Raises:
        ContractError, ResourceError: see ``medseg.model_folder.read_model``.
    """
    return Registered(component=read_model(folder), kind="model", plugin=LOCAL)


def _local_models(home: Path) -> list[PluginRecord]:
    """One row for all models of the user's folder that can be read, and one for each that cannot."""
    good = PluginRecord(name=LOCAL, distribution=str(home), version="")
    broken = []
    for folder in sorted(home.glob("*")):
        if not is_model_folder(folder):
            continue
        try:
            found = folder_model(folder)
            if found.component.name != folder.name:
                raise ContractError(f"its contract says {found.component.name!r}; rename the folder to that")
            good.components.append(found)
        except MedsegError as error:
            broken.append(PluginRecord(name=LOCAL, distribution=str(folder), version=""))
            broken[-1].fail("failed", str(error), error)
    return [*([good] if good.components else []), *broken]


def _check_name(name: str, holder: PluginRecord | None) -> None:
    if name == LOCAL:
        raise _BadPluginError(f"the name {LOCAL!r} is that of the user's own models; choose another")
    if holder:
        raise _BadPluginError(
            f"the plugin name {name!r} is already taken by {holder.distribution} {holder.version}; "
            "uninstall one of the two"
        )
    if not api.NAME.fullmatch(name):
        raise _BadPluginError(
            f"the entry point name {name!r} is not allowed: use lower-case letters and digits, joined by "
            "single hyphens, beginning with a letter"
        )


def _components(name: str, module: ModuleType | Any) -> list[Registered]:
    """Call each hook of one plugin on its own; all or nothing."""
    _check_version(module)
    manager = pluggy.PluginManager("medseg")
    manager.add_hookspecs(api.Hooks)
    manager.register(module, name=name)
    manager.check_pending()  # an implementation of a hook that does not exist: a typing error
    registered: list[Registered] = []
    for kind, (hook, cls) in api.KINDS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            for component in _called(hook, implementation.function):
                if not isinstance(component, cls):
                    raise _BadPluginError(
                        f"{hook} returned {component!r}, which is not a medseg.plugin.{cls.__name__}"
                    )
                if any(r.kind == kind and r.component.name == component.name for r in registered):
                    raise _BadPluginError(f"{hook} offers the name {component.name!r} twice")
                registered.append(Registered(component=component, kind=kind, plugin=name))
    # Both are chosen by name with -m.
    chosen = [{r.component.name for r in registered if r.kind == kind} for kind in ("model", "method")]
    if both := sorted(set.intersection(*chosen)):
        raise _BadPluginError(f"it offers a model and a method of the one name {both[0]!r}")
    return registered


def _called(hook: str, function: Any) -> Iterator[Any]:
    result = function()
    if not isinstance(result, Iterable):
        raise _BadPluginError(f"{hook} returned {result!r}; it must return or yield descriptions")
    yield from result


def _check_version(module: ModuleType | Any) -> None:
    version = getattr(module, "MEDSEG_API", None)
    if version is None:
        raise _WrongVersionError(
            f"it does not say which plugin API it was written for; add MEDSEG_API = "
            f"{api.API_VERSION} to {getattr(module, '__name__', module)!s}"
        )
    if not isinstance(version, int):
        raise _WrongVersionError(f"its MEDSEG_API is {version!r}, wanted the integer {api.API_VERSION}")
    if version != api.API_VERSION:
        remedy = "upgrade medseg" if version > api.API_VERSION else "upgrade the plugin"
        raise _WrongVersionError(
            f"it was written for plugin API {version}, this medseg speaks {api.API_VERSION}: {remedy}"
        )


def _describe(error: BaseException) -> str:
    # Not str(error), which may itself raise.
    return _one_line("".join(traceback.format_exception_only(error)))


def _one_line(text: str) -> str:
    return " ".join(text.split())

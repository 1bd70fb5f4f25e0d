"""What a check looks at: a plugin, or one of its components."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from medseg.errors import PluginError
from medseg.plugin import Component
from medseg.registry import PluginRecord, Registered, Registry
from medseg.testing.expectation import CannotRunError


@dataclass(frozen=True, kw_only=True)
class PluginSubject:
    """An installed plugin.

    Args:
        record: its row in the registry, usable or not.
        module: dotted name of its entry module; empty for one that is not installed.
    """

    record: PluginRecord
    module: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A component of an installed plugin.

    Args:
        registered: the component and its plugin.
        registry: where it and its neighbours were found.
        module: dotted name of the plugin's entry module; empty for one that is not installed.
    """

    registered: Registered
    registry: Registry
    module: str = ""

    @property
    def component(self) -> Component:
        """Its description."""
        return self.registered.component

    @property
    def name(self) -> str:
        """``plugin:name``."""
        return self.registered.full_name

    @property
    def factory(self) -> Callable[..., Any]:
        """Its code.

        Raises:
            CannotRunError: it cannot be imported, which the check ``code-is-found`` reports.
        """
        return self.load(self.component.factory)

    def load(self, target: str) -> Callable[..., Any]:
        """Other code of the component, such as a format's writer; raises as ``factory``."""
        try:
            return cast(Callable[..., Any], self.registry.load_string(self.registered, target))
        except PluginError as error:
            raise CannotRunError("the component's code cannot be imported; see code-is-found") from error

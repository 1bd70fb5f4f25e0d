"""The installed models, as their descriptions say; nothing heavy is imported."""

from dataclasses import replace
from typing import cast

from medseg.options import Option, options_of
from medseg.plugin import Model
from medseg.registry import Registry, default_registry


def models(*, hidden: bool = False, registry: Registry | None = None) -> dict[str, Model]:
    """The contracts of all installed models by full name.

    Args:
        hidden: also those that only serve other models, such as locators.
        registry: where to look; what is installed, if None.

    Example:
        >>> import medseg
        >>> medseg.models()["linknet:brain-mask"].input.orientation
        'RAS'
    """
    found = (registry or default_registry()).components("model")
    described = {r.full_name: cast(Model, r.component) for r in found}
    return {name: model for name, model in described.items() if hidden or not model.hidden}


def network_options(model: str, *, registry: Registry | None = None) -> dict[str, Option]:
    """The options of a model's network, with the contract's values as their defaults.

    Args:
        model: ``plugin:name`` or a short name.
        registry: where to look; what is installed, if None.
    """
    registry = registry or default_registry()
    found = registry.find("model", model)
    description = cast(Model, found.component)
    network = registry.find("architecture", description.architecture, within=found.plugin)
    given = description.options
    return {
        name: replace(option, default=given.get(name, option.default))
        for name, option in options_of(registry.load(network)).items()
    }


def channels_of(model: str, *, registry: Registry | None = None) -> tuple[str, ...]:
    """The names of a model's input channels, in its order.

    Args:
        model: ``plugin:name`` or a short name.
        registry: where to look; what is installed, if None.
    """
    found = (registry or default_registry()).find("model", model)
    return tuple(channel.name for channel in cast(Model, found.component).input.channels)

"""The installed models, as their descriptions say; nothing heavy is imported."""

from typing import cast

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

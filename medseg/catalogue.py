"""The installed models and methods, as their descriptions say; nothing heavy is imported."""

import os
from dataclasses import replace
from pathlib import Path
from typing import cast

from medseg.errors import UnknownNameError
from medseg.importing import find_importer, keep_imported
from medseg.model_folder import is_model_folder
from medseg.options import Option, options_of
from medseg.plugin import Label, Method, Model
from medseg.registry import Registered, Registry, default_registry, folder_model


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


def methods(*, registry: Registry | None = None) -> dict[str, Method]:
    """The installed methods without weights by full name; they are used as models are.

    Args:
        registry: where to look; what is installed, if None.

    Example:
        >>> import medseg
        >>> medseg.methods()["classics:otsu"].summary
        'Two classes by the threshold of least variance'
    """
    found = (registry or default_registry()).components("method")
    return {r.full_name: cast(Method, r.component) for r in found}


def find_model(name: str, *, registry: Registry | None = None) -> Registered:
    """A model or method by its name, or a model by the folder that holds it.

    Args:
        name: ``plugin:name``, ``local:name``, a short name while it is unique; or a path: one with a
            separator in it, or the name of a file or folder here, if no model has that name. What is not a
            model folder but is recognised by an importer is imported first, and kept in the cache.
        registry: where to look; what is installed, if None.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        ContractError: the folder holds no model, or one that cannot be used.
    """
    registry = registry or default_registry()
    path = Path(name).expanduser()
    if "/" in name or os.sep in name:
        return _at(path, registry)
    try:
        return registry.find("model", name, also="method")
    except UnknownNameError:
        if path.exists():
            return _at(path, registry)
        raise


def find_parts(model: Model, plugin: str, *, registry: Registry | None = None) -> list[Registered]:
    """The models that a model is made of: each by a folder, or by name with the model's own plugin first.

    Args:
        model: a contract; one without parts has none.
        plugin: that offers it.
        registry: where to look; what is installed, if None.
    """
    registry = registry or default_registry()
    return [
        find_model(part.model, registry=registry)
        if "/" in part.model
        else registry.find("model", part.model, within=plugin)
        for part in model.parts
    ]


def _at(path: Path, registry: Registry) -> Registered:
    """The model of a folder; that of another tool is imported into the cache first."""
    if not is_model_folder(path):
        importer = find_importer(path, registry=registry)
        if importer:
            return folder_model(keep_imported(path, importer, registry=registry))
    return folder_model(path)


def model_options(model: str, *, registry: Registry | None = None) -> dict[str, Option]:
    """The options of a method, or of a model's network with the contract's values as their defaults.

    Args:
        model: a name or a folder, as for ``find_model``.
        registry: where to look; what is installed, if None.
    """
    registry = registry or default_registry()
    found = find_model(model, registry=registry)
    if isinstance(found.component, Method):
        return options_of(registry.load(found))
    description = cast(Model, found.component)
    if description.parts:
        return {}
    network = registry.find("architecture", description.architecture, within=found.plugin)
    given = description.options
    return {
        name: replace(option, default=given.get(name, option.default))
        for name, option in options_of(registry.load(network)).items()
    }


def channels_of(model: str, *, registry: Registry | None = None) -> tuple[str, ...]:
    """The names of a model's input channels, in its order; a method sees one, ``image``.

    Args:
        model: a name or a folder, as for ``find_model``.
        registry: where to look; what is installed, if None.
    """
    found = find_model(model, registry=registry)
    if isinstance(found.component, Method):
        return ("image",)
    return tuple(channel.name for channel in cast(Model, found.component).input.channels)


def labels_of(model: str, *, registry: Registry | None = None) -> tuple[Label, ...]:
    """The labels of a model, background included; of a method those that it describes.

    Args:
        model: a name or a folder, as for ``find_model``.
        registry: where to look; what is installed, if None.
    """
    return cast(Model | Method, find_model(model, registry=registry).component).labels

"""Other tools' models become model folders: found an importer, read, written, or kept in the cache."""

import glob
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from medseg.cache import cache_folder
from medseg.errors import ContractError, OptionError
from medseg.model_folder import models_folder, write_model, write_parts
from medseg.options import check_options
from medseg.plugin import NAME, Imported, Importer, Label, Model, Part
from medseg.registry import Registered, Registry, default_registry


def import_model(
    sources: Sequence[Path],
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
    folder: Path | None = None,
    registry: Registry | None = None,
) -> tuple[Model, tuple[str, ...]]:
    """Write other tools' models as one model folder.

    Args:
        sources: a file or folder of each; of several, the model is made of all, later over earlier ones.
        name: that the model shall have.
        options: of the importer.
        labels: names in the order of their numbers from 1, for a model of several; in the order of the
            parts and their labels, if empty.
        folder: to write; that of this name in the user's folder of models, if None.
        registry: whose importers there are.

    Returns:
        The model as it is in its folder, and what a user should know of it.

    Raises:
        OptionError: no importer knows a source, or the name is taken or not allowed.
        ContractError: the importer refuses a source, or the parts do not go together.
        WeightsError: weights are refused, or do not fit.
    """
    if not NAME.fullmatch(name.replace(".", "-")):
        raise OptionError(
            f"the name {name!r} is not allowed: use lower-case letters and digits, joined by single hyphens "
            "or dots, beginning with a letter"
        )
    if labels and len(sources) == 1:
        raise OptionError("a list of labels orders those of several models; one model has its own order")
    folder = folder or models_folder() / name
    if folder.is_file():
        raise OptionError(f"{folder} is a file; wanted a folder to write the model into")
    if folder.exists() and any(folder.iterdir()):
        raise OptionError(f"{folder} exists and is not empty; choose another name, or remove it")
    several = len(sources) > 1
    read = [
        _read(source, f"{name}-part-{n}" if several else name, options or {}, registry or default_registry())
        for n, source in enumerate(sources, start=1)
    ]
    notes = tuple(dict.fromkeys(note for imported in read for note in imported.notes))
    if not several:
        return write_model(folder, read[0].model, read[0].tensors), notes
    composed = compose(name, [imported.model for imported in read], labels)
    return write_parts(folder, composed, [(imported.model, imported.tensors) for imported in read]), notes


def find_importer(source: Path, *, registry: Registry | None = None) -> Registered | None:
    """The importer that knows a file or folder; None if none does.

    Raises:
        OptionError: several know it.
    """
    registry = registry or default_registry()
    found = [
        item
        for item in registry.components("importer")
        if registry.load_string(item, cast(Importer, item.component).recognise)(source)
    ]
    if len(found) > 1:
        names = ", ".join(item.full_name for item in found)
        raise OptionError(f"{source} is recognised by {names}; uninstall the plugin of all but one")
    return found[0] if found else None


def keep_imported(source: Path, importer: Registered, *, registry: Registry | None = None) -> Path:
    """The model folder in the cache for another tool's model, made at its first use.

    Args:
        source: as for ``import_model``; a change of any of its files makes another folder. Of a single file
            those of its name with other endings belong to it, such as the contract beside a network.
        importer: from ``find_importer``.
        registry: whose importers there are.
    """
    registry = registry or default_registry()
    versions = sorted(registry.versions().items())
    state = hashlib.sha256(repr((importer.full_name, versions)).encode())
    single = source.is_file()
    for file in sorted(source.parent.glob(glob.escape(source.stem) + ".*") if single else source.rglob("*")):
        if not file.is_file():
            continue
        about = file.stat()
        state.update(repr((str(file.resolve()), about.st_size, about.st_mtime_ns)).encode())
    folder = cache_folder("imported") / state.hexdigest()[:32]
    if not (folder / "contract.json").is_file():
        imported = _read(source, _slug(source), {}, registry, importer)
        write_model(folder, imported.model, imported.tensors)
    return folder


def compose(name: str, parts: Sequence[Model], labels: Sequence[str] = ()) -> Model:
    """A model made of others, their labels told apart by name.

    Args:
        name: of the whole.
        parts: each ``./part-N`` in the folder of the whole; a label that two of them have is one label.
        labels: names in the order of their numbers from 1; in the parts' order, if empty.

    Raises:
        ContractError: the parts want different channels, or the names are not those of the parts' labels.
    """
    first = parts[0]
    for part in parts[1:]:
        kinds = [[(c.name, c.modality, c.unit) for c in model.input.channels] for model in (first, part)]
        if kinds[0] != kinds[1]:
            raise ContractError(f"{name}: its parts want different channels: {kinds[0]} and {kinds[1]}")
    there = {label.name: label for part in parts for label in part.labels if label.value}
    names = list(labels) or list(there)
    if sorted(names) != sorted(there):
        missing, unknown = sorted(set(there) - set(names)), sorted(set(names) - set(there))
        raise ContractError(
            f"{name}: the list of labels lacks {', '.join(missing) or 'none'} of the parts' labels, and has "
            f"{', '.join(unknown) or 'none'} that no part has"
        )
    numbers = {label: number for number, label in enumerate(names, start=1)}
    return Model(
        name=name,
        summary=f"{len(parts)} models as one: {', '.join(names)}"[:80],
        architecture="",
        weights=replace(first.weights, source="", sha256="", size=0),
        input=replace(first.input, locator=None),
        labels=(first.labels[0], *(_numbered(there[label], numbers[label]) for label in names)),
        parts=tuple(
            Part(
                model=f"./part-{n}",
                labels=tuple((label.value, numbers[label.name]) for label in part.labels if label.value),
            )
            for n, part in enumerate(parts, start=1)
        ),
        intended_use=first.intended_use,
        training_data="; ".join(part.training_data for part in parts),
        reference=first.reference,
    )


def _slug(source: Path) -> str:
    """A name for a model from that of its file or folder."""
    plain = re.sub(r"[^a-z0-9]+", "-", source.resolve().name.lower()).strip("-")
    return plain if NAME.fullmatch(plain) else f"model-{plain}".strip("-")


def _numbered(label: Label, value: int) -> Label:
    return replace(label, value=value)


def _read(
    source: Path,
    name: str,
    options: Mapping[str, Any],
    registry: Registry,
    importer: Registered | None = None,
) -> Imported:
    importer = importer or find_importer(source, registry=registry)
    if importer is None:
        known = "; ".join(
            f"{item.full_name}: {item.component.summary}" for item in registry.components("importer")
        )
        raise OptionError(
            f"no importer knows {source}. Installed: "
            + (known or "none; pip install medseg-nnunet, medseg-monai or medseg-graphs")
        )
    factory = registry.load(importer)
    checked = check_options(factory, options, owner=f"importer {importer.full_name}")
    return cast(Imported, factory(source, name, **checked))

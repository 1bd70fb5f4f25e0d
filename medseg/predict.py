"""Segment a volume with a model: the functions that load and run one by its name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch

from medseg.catalogue import find_model, find_parts
from medseg.composed import ComposedModel
from medseg.errors import OptionError, ResourceError, WeightsError
from medseg.inference.execution import Execution
from medseg.loaded import LoadedModel
from medseg.method import LoadedMethod
from medseg.model_folder import weights_of_parts
from medseg.plugin import Architecture, Model, Slices, StepUse
from medseg.predictor import Predictor, Source
from medseg.progress import CancelToken, OnProgress
from medseg.refinement import Refined, find_refiners
from medseg.registry import Registered, Registry, default_registry
from medseg.segmentation import Segmentation
from medseg.segmenter import build
from medseg.weights import load_weights, locate

__all__ = ["LoadedModel", "Segmentation", "Source", "choose_device", "load_model", "segment"]


def segment(
    image: Source | Sequence[Source],
    model: str,
    *,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    refine: Sequence[str | StepUse] = (),
    force: bool = False,
    progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
    registry: Registry | None = None,
) -> Segmentation:
    """Segment one image with an installed model or method.

    To run one model on many images, ``load_model`` once and call ``LoadedModel.segment``.

    Args:
        image: a volume or a path; for a model of several channels one of them for each, in order.
        model: ``plugin:name``, a short name while it is unique, or a model folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        options: of the network, over those of the contract; the weights must still fit. Or of the method.
        execution: backend, mirroring, determinism and the limit on memory.
        refine: steps on the result, in order: ``"tdac iterations=40"``, or a name and its options.
        force: run on another modality or unit than the contract's; recorded as a warning.
        progress: called with a ``Progress`` as the work goes on.
        cancel: a token to stop it with, from another thread.
        registry: where to look names up; what is installed, if None.

    Raises:
        UnknownNameError: no such model, method or step is installed.
        VolumeError: the image is refused by its reader.
        ContractError: the image is not what the model was made for.
        WeightsError: the weights are missing or are not the contract's.
        ResourceError: the device is not there, or memory ran out.
        PluginError: the network gave scores that are not finite.
        Cancelled: the token was cancelled.

    Example:
        >>> import medseg
        >>> result = medseg.segment("head.nii.gz", "brain-mask")  # doctest: +SKIP
        >>> medseg.save(result.labels, "brain.nii.gz")  # doctest: +SKIP
    """
    loaded = load_model(
        model, device=device, options=options, execution=execution, refine=refine, registry=registry
    )
    return loaded.segment(image, force=force, progress=progress, cancel=cancel)


def load_model(
    model: str,
    *,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    refine: Sequence[str | StepUse] = (),
    registry: Registry | None = None,
) -> Predictor:
    """Build a model, verify and load its weights, and put it on a device, ready for many images.

    Args:
        model: ``plugin:name``, a short name of a model or of a method without weights, or a model folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        options: of the network, over those of the contract; the weights must still fit. Or of the method.
        execution: backend, mirroring, determinism and the limit on memory.
        refine: steps on each result, in order: ``"tdac iterations=40"``, or a name and its options.
        registry: where to look names up; what is installed, if None.

    Returns:
        A ``LoadedModel`` or, of a method or with steps to refine by, something else with its ``segment``.
    """
    registry = registry or default_registry()
    found = find_model(model, registry=registry)
    refiners = find_refiners(refine, registry=registry)  # before the work of loading weights
    predictor: Predictor
    if found.kind == "method":
        predictor = LoadedMethod(
            found, options=options or {}, device=device, execution=execution, registry=registry
        )
    else:
        predictor = load_network(
            found, device=device, options=options, execution=execution, registry=registry
        )
    return Refined(predictor, refiners) if refiners else predictor


def load_network(
    found: Registered,
    *,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    registry: Registry,
) -> LoadedModel:
    """A model whose description is found; arguments as in ``load_model``."""
    description = cast(Model, found.component)  # the registry checked its class
    if description.parts:
        return _load_parts(
            found,
            description,
            device=device,
            options=options,
            execution=execution or Execution(),
            registry=registry,
        )
    if options:
        description = replace(description, options={**description.options, **options})
    architecture = registry.find("architecture", description.architecture, within=found.plugin)
    patch = description.input.patch
    network = build(
        description.architecture,
        in_channels=len(description.input.channels)
        * (2 * patch.neighbours + 1 if isinstance(patch, Slices) else 1),
        out_channels=len(description.labels) - description.regions,  # the background has no region
        head=description.head,
        dims=2 if isinstance(patch, Slices) else 3,
        options=description.options,
        head_options=description.head_options,
        registry=registry,
        within=found.plugin,
    )
    weighted = network if description.head else network.backbone
    try:
        load_weights(weighted, locate(description.weights))
    except WeightsError as error:
        if not options:
            raise
        given = ", ".join(f"{name}={value}" for name, value in options.items())
        raise OptionError(f"the weights of {found.full_name} were not made for {given}: {error}") from error
    locator = description.input.locator
    return LoadedModel(
        found=found,
        description=description,
        network=network.eval(),
        device=choose_device(device),
        registry=registry,
        execution=execution or Execution(),
        batches=not cast(Architecture, architecture.component).from_file,
        locator=load_network(
            registry.find("model", locator.model, within=found.plugin),
            device=device,
            execution=_of_locator(execution or Execution()),
            registry=registry,
        )
        if locator
        else None,
    )


def _of_locator(execution: Execution) -> Execution:
    """How a locator runs: where to look is neither quantised nor averaged over mirrored windows.

    A backend that quantises cannot run it.
    """
    execution = replace(execution, mirror=False, body_mask=False)
    if execution.precision == "float32":
        return execution
    unnamed = execution.backend in ("auto", "eager")
    return replace(execution, precision="float32", backend=execution.backend if unnamed else "eager")


def _load_parts(
    found: Registered,
    description: Model,
    *,
    device: str,
    options: Mapping[str, Any] | None,
    execution: Execution,
    registry: Registry,
) -> LoadedModel:
    if options:
        raise OptionError(
            f"{found.full_name} is made of others and has no network of its own to set options of"
        )
    parts = [
        load_network(part, device=device, execution=execution, registry=registry)
        for part in find_parts(description, found.plugin, registry=registry)
    ]
    expected = weights_of_parts([part.description for part in parts]).sha256
    if expected != description.weights.sha256:
        raise WeightsError(
            f"{found.full_name}: the weights of its parts have together sha256 {expected}, its contract says "
            f"{description.weights.sha256}; a part was replaced: import the model again"
        )
    return ComposedModel(
        found=found,
        description=description,
        parts=parts,
        device=choose_device(device),
        registry=registry,
        execution=execution,
    )


def choose_device(name: str) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N`` as a device that exists.

    Raises:
        ResourceError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    count = torch.cuda.device_count()
    if device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < count):
        return device
    raise ResourceError(
        f"device {name!r}: wanted auto, cpu, cuda or cuda:N; this computer has {count} CUDA devices"
    )

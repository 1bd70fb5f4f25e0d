"""Segment a volume with a model: the contract becomes preprocessing, labels come back to the input's grid."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from medseg import contract
from medseg.builtin.steps import largest_piece
from medseg.errors import ContractError, OptionError, PluginError, ResourceError, WeightsError
from medseg.formats import load
from medseg.geometry import Undo, crop, fit, reorient, resample
from medseg.inference.backends import Backends, Choice, Trial
from medseg.inference.calls import Network
from medseg.inference.execution import Execution, repeatable
from medseg.inference.labels import label_map
from medseg.inference.memory import MemoryPlan, live_bytes, plan_memory
from medseg.inference.network import LogitsOf, central_window, stream_logits
from medseg.inference.slab import Slab
from medseg.measure import Measure, implausible, measure
from medseg.options import check_options
from medseg.plugin import Label, Locator, Model, Slices, StepUse, WholeGrid
from medseg.progress import CancelToken, OnProgress, Progress
from medseg.provenance import (
    Stopwatch,
    describe_environment,
    describe_input,
    peak_memory_bytes,
    spell_seconds,
)
from medseg.registry import Registered, Registry, default_registry
from medseg.segmenter import Segmenter, build
from medseg.volume import Grid, Volume
from medseg.weights import load_weights, locate

Source = Volume | str | PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """A result: labels on the input's own grid, what they mean, and where they came from.

    Args:
        labels: label map on the grid of the input.
        classes: the meaning of each value.
        provenance: JSON-able record of model, weights, versions, settings, input hash and times.
        warnings: what did not fit the contract but did not stop the run.
    """

    labels: Volume
    classes: tuple[Label, ...]
    provenance: Mapping[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Voxels and mL of each label but the background."""
        return measure(self.labels, self.classes)


def segment(
    image: Source | Sequence[Source],
    model: str,
    *,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    force: bool = False,
    progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
    registry: Registry | None = None,
) -> Segmentation:
    """Segment one image with an installed model.

    To run one model on many images, ``load_model`` once and call ``LoadedModel.segment``.

    Args:
        image: a volume or a path; for a model of several channels one of them for each, in order.
        model: ``plugin:name``, or a short name while it is unique.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        options: of the network, over those of the contract; the weights must still fit.
        execution: backend, mirroring, determinism and the limit on memory.
        force: run on another modality or unit than the contract's; recorded as a warning.
        progress: called with a ``Progress`` as the work goes on.
        cancel: a token to stop it with, from another thread.
        registry: where to look names up; what is installed, if None.

    Raises:
        UnknownNameError: no such model is installed.
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
    loaded = load_model(model, device=device, options=options, execution=execution, registry=registry)
    return loaded.segment(image, force=force, progress=progress, cancel=cancel)


def load_model(
    model: str,
    *,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    registry: Registry | None = None,
    within: str = "",
) -> "LoadedModel":
    """Build a model, verify and load its weights, and put it on a device, ready for many images.

    Args:
        model: ``plugin:name`` or a short name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        options: of the network, over those of the contract; the weights must still fit.
        execution: backend, mirroring, determinism and the limit on memory.
        registry: where to look names up; what is installed, if None.
        within: a plugin whose own models go first for a short name.
    """
    registry = registry or default_registry()
    found = registry.find("model", model, within=within)
    description = cast(Model, found.component)  # the registry checked its class
    if options:
        description = replace(description, options={**description.options, **options})
    patch = description.input.patch
    network = build(
        description.architecture,
        in_channels=len(description.input.channels)
        * (2 * patch.neighbours + 1 if isinstance(patch, Slices) else 1),
        out_channels=len(description.labels),
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
        locator=load_model(
            locator.model, device=device, execution=execution, registry=registry, within=found.plugin
        )
        if locator
        else None,
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


class LoadedModel:
    """A model with its weights on a device; made by ``load_model``."""

    def __init__(
        self,
        *,
        found: Registered,
        description: Model,
        network: Segmenter,
        device: torch.device,
        registry: Registry,
        execution: Execution,
        locator: "LoadedModel | None",
    ) -> None:
        self.name = found.full_name
        self.description = description
        self._plugin = found.plugin
        self._network = network.to(device)
        self._device = device
        self._registry = registry
        self._execution = execution
        self._locator = locator
        self._identity = {
            "weights": description.weights.sha256,
            "architecture": description.architecture,
            "options": {key: str(value) for key, value in description.options.items()},
        }
        self._backends = (
            None
            if execution.backend == "eager"
            else Backends(
                execution.backend,
                device=device,
                identity=self._identity,
                registry=registry,
            )
        )
        self._ready: dict[tuple[float, ...], tuple[Network, Choice]] = {}
        self._window_bytes: int | None = None
        self._pre = [self._step(use, "pre") for use in description.input.steps]
        self._post = [self._step(use, "post") for use in description.post]

    def segment(
        self,
        image: Source | Sequence[Source],
        *,
        force: bool = False,
        progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> Segmentation:
        """Segment one image; see the function ``segment``."""
        sources = [image] if isinstance(image, Volume | str | PathLike) else list(image)
        run = _Run(progress=progress, cancel=cancel or CancelToken())
        with run.stage("read"):
            volumes = [s if isinstance(s, Volume) else load(Path(s)) for s in sources]
        problems = contract.check(volumes, self.description.input)
        fatal = {"refuse"} if force else {"refuse", "force"}
        refused = [str(p) for p in problems if p.severity in fatal]
        if refused:
            raise ContractError(f"model {self.name} cannot use this input. " + ". ".join(refused))
        with torch.inference_mode(), repeatable(self._execution.deterministic):
            labels = self._labels(volumes, run)
        measures = measure(labels, self.description.labels)
        forced = (f"forced: {p}" if p.severity == "force" else str(p) for p in problems)
        warnings = (*forced, *implausible(measures))
        return Segmentation(
            labels=labels,
            classes=self.description.labels,
            warnings=warnings,
            provenance=self._provenance(volumes, run, warnings),
        )

    def compare_backends(
        self, image: Source | Sequence[Source] | None = None, *, patient: bool = False
    ) -> list[Trial]:
        """Time every backend on the middle window of an image, and compare its answer with torch's.

        Args:
            image: as in ``segment``, without the locator's crop; noise of one window, if None.
            patient: also backends that take minutes to begin.
        """
        wanted = self.description.input
        if image is None:
            shape = wanted.patch.shape if isinstance(wanted.patch, WholeGrid) else (*wanted.patch.size, 1)[:3]
            noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
            image = [Volume(noise, np.diag([*(wanted.spacing_mm or (1, 1, 1)), 1]))] * len(wanted.channels)
        sources = [image] if isinstance(image, Volume | str | PathLike) else list(image)
        volumes = [s if isinstance(s, Volume) else load(Path(s)) for s in sources]
        backends = Backends("auto", device=self._device, identity=self._identity, registry=self._registry)
        with torch.inference_mode():
            run = _Run(progress=None, cancel=CancelToken())
            prepared, grid = self._prepare([reorient(v, wanted.orientation)[0] for v in volumes], run)
            module = LogitsOf(self._network, grid.spacing_mm, wanted.patch)
            window = central_window(prepared, wanted.patch)
            return backends.compare(module, window, backends.candidates(patient=patient))

    def _labels(self, volumes: Sequence[Volume], run: "_Run") -> Volume:
        orientation = self.description.input.orientation
        turned = [reorient(volume, orientation) for volume in volumes]
        seen, turn_back = [volume for volume, _ in turned], turned[0][1]
        uncrop: Undo | None = None
        if self._locator and self.description.input.locator:
            with run.stage("locate"):
                # A run of its own: its stages are part of "locate" and are not counted twice.
                start, stop = self._locator.box(
                    seen, self.description.input.locator, _Run(progress=None, cancel=run.cancel)
                )
            cropped = [crop(volume, start, stop) for volume in seen]
            seen, uncrop = [volume for volume, _ in cropped], cropped[0][1]
        image, grid = self._prepare(seen, run)
        labels = self._network_labels(image, grid, seen[0].grid, run)
        del image
        with run.stage("restore"):
            labels = uncrop(labels) if uncrop else labels
        with run.stage("finish"):
            for step in self._post:
                labels, _ = step(labels)
            return turn_back(labels)

    def box(
        self, volumes: Sequence[Volume], locator: Locator, run: "_Run"
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where this model, as a locator, finds its label: start and stop voxels with the margin.

        Raises:
            ContractError: it has no such label, or finds nothing.
        """
        names = {c.value: c.name for c in self.description.labels}
        if locator.label not in names:
            raise ContractError(
                f"the locator {self.name} has no label {locator.label}; it has "
                + ", ".join(f"{value} ({name})" for value, name in names.items())
            )
        image, grid = self._prepare(volumes, run)
        mask = largest_piece(self._network_labels(image, grid, grid, run).array == locator.label)
        if not mask.any():
            raise ContractError(
                f"the locator {self.name} finds no {names[locator.label]} in this input. Is it the right "
                "kind of image, and does its field of view hold it? "
                f"Intended use: {self.description.intended_use}"
            )
        corners = np.argwhere(mask)
        low, high = corners.min(0), corners.max(0) + 1
        widen = locator.margin * (high - low)
        to_voxels = np.linalg.inv(volumes[0].affine) @ grid.affine
        # Faces of voxels are at half indices in both grids, which are parallel.
        faces = np.stack([low - widen, high + widen]) - 0.5
        faces = np.sort(faces @ to_voxels[:3, :3].T + to_voxels[:3, 3], axis=0) + 0.5
        start = np.clip(np.floor(faces[0] + 1e-6), 0, None).astype(int)
        stop = np.minimum(np.ceil(faces[1] - 1e-6), volumes[0].shape).astype(int)
        return tuple(start.tolist()), tuple(stop.tolist())

    def _prepare(self, volumes: Sequence[Volume], run: "_Run") -> tuple[Tensor, Grid]:
        """The network's image (C,*S) on its device, and that image's grid."""
        with run.stage("prepare"):
            image: Tensor | None = None
            for channel, volume in enumerate(volumes):
                on_grid = self._on_network_grid(volume)
                for step in self._pre:
                    on_grid, _ = step(on_grid)
                if image is None:
                    image = torch.empty((len(volumes), *on_grid.shape))
                np.copyto(image[channel].numpy(), on_grid.array, casting="unsafe")
            assert image is not None  # the contract has at least one channel
            return image.to(self._device), on_grid.grid

    def _network_labels(self, image: Tensor, grid: Grid, home: Grid, run: "_Run") -> Volume:
        """What the network says of an image on its own grid, as labels on another."""
        patch = self.description.input.patch
        with run.stage("network"):
            module = LogitsOf(self._network, grid.spacing_mm, patch)
            if self._device.type == "cpu":
                run.plan = self._plan(module, image, grid, home)
                run.plan.check(self._execution.max_ram)
            network, run.choice = self._make_ready(module, image, grid)
            slabs = stream_logits(
                network,
                image,
                patch,
                mirror=self._execution.mirror,
                on_window=lambda done, total: run.report("network", done, total),
                cancel=run.cancel,
            )
            return label_map(map(self._finite, slabs), grid, home, [c.value for c in self.description.labels])

    def _plan(self, module: LogitsOf, image: Tensor, grid: Grid, home: Grid) -> MemoryPlan:
        patch = self.description.input.patch
        if self._window_bytes is None:
            self._window_bytes = live_bytes(module, central_window(image, patch).shape)
        return plan_memory(
            self._window_bytes,
            patch,
            channels=len(image),
            classes=len(self.description.labels),
            grid=grid,
            home=home,
        )

    def _make_ready(self, module: LogitsOf, image: Tensor, grid: Grid) -> tuple[Network, Choice | None]:
        """The network in its backend: made once, and once more for another spacing if a head is told it."""
        if self._backends is None:
            return module, None
        key = grid.spacing_mm if self.description.head else ()
        if key not in self._ready:
            window = central_window(image, self.description.input.patch)
            self._ready[key] = self._backends.ready(module, window)
        return self._ready[key]

    def _finite(self, slab: Slab) -> Slab:
        if not bool(torch.isfinite(torch.stack(torch.aminmax(slab.logits))).all()):
            # They would compare as "not above the background", and the mask would be empty without a word.
            raise PluginError(
                f"the network of {self.name} gave NaN or infinite scores for this input. "
                + (
                    "Try --device cpu"
                    if slab.logits.is_cuda
                    else "Is it the kind of image that the model is for?"
                )
            )
        return slab

    def _on_network_grid(self, volume: Volume) -> Volume:
        wanted = self.description.input
        if isinstance(wanted.patch, WholeGrid):
            return fit(volume, wanted.patch.shape, interpolation=wanted.patch.interpolation)[0]
        if wanted.spacing_mm is None:
            return volume
        return resample(volume, wanted.spacing_mm, interpolation=wanted.interpolation)[0]

    def _step(self, use: StepUse, stage: str) -> Any:
        name, options = use
        found = self._registry.find("step", name, within=self._plugin)
        if getattr(found.component, "stage", None) != stage:
            raise ContractError(f"model {self.name}: step {found.full_name} is not a {stage} step")
        factory = self._registry.load(found)
        return factory(**check_options(factory, options, owner=f"step {found.full_name}"))

    def _provenance(self, volumes: Sequence[Volume], run: "_Run", warnings: Sequence[str]) -> dict[str, Any]:
        described = contract.to_json(self.description)
        locator = self._locator
        return {
            "model": self.name,
            "weights_sha256": self.description.weights.sha256,
            "locator": {"model": locator.name, "weights_sha256": locator.description.weights.sha256}
            if locator
            else None,
            **describe_environment(self._registry, self._device),
            "settings": {key: described[key] for key in ("architecture", "head", "options", "input", "post")},
            "labels": {str(c["value"]): c for c in described["labels"]},
            "input": [describe_input(volume) for volume in volumes],
            "warnings": list(warnings),
            "execution": {
                **asdict(self._execution),
                "backend": run.choice.sentence if run.choice else self._execution.backend,
            },
            "seconds": spell_seconds(run.watch.seconds),
            "peak_memory_bytes": peak_memory_bytes(),
            "predicted_memory_bytes": run.plan.as_json() if run.plan else None,
            "intended_use": self.description.intended_use,
        }


class _Run:
    """One call's progress, cancellation and times."""

    def __init__(self, *, progress: OnProgress | None, cancel: CancelToken) -> None:
        self.watch = Stopwatch()
        self.cancel = cancel
        self.plan: MemoryPlan | None = None
        self.choice: Choice | None = None
        self._progress = progress

    @contextlib.contextmanager
    def stage(self, name: str) -> Any:
        self.cancel.check()
        self.report(name, 0, 1)
        with self.watch.stage(name):
            yield
        self.report(name, 1, 1)

    def report(self, stage: str, done: int, total: int) -> None:
        if self._progress:
            self._progress(Progress(stage=stage, done=done, total=total))

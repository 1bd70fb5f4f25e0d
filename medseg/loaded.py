"""A model that is loaded: the contract becomes preprocessing, labels come back to the input's grid."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg import contract
from medseg.allocator import keep_freed_blocks
from medseg.builtin.steps import largest_piece
from medseg.description import to_json
from medseg.errors import ContractError
from medseg.formats import load
from medseg.geometry import Undo, crop, reorient_together
from medseg.inference.backends import Trial
from medseg.inference.engine import Answer, Engine
from medseg.inference.execution import Execution, arithmetic
from medseg.inference.run import Run
from medseg.measure import implausible, measure
from medseg.plugin import Locator, Model, StepUse, WholeGrid
from medseg.predictor import Source
from medseg.preparation import Preparation
from medseg.progress import CancelToken, OnProgress
from medseg.provenance import describe_environment, describe_input, peak_memory_bytes, spell_seconds
from medseg.registry import Registered, Registry
from medseg.segmentation import Segmentation
from medseg.segmenter import Segmenter
from medseg.steps import load_post_step, make_step
from medseg.storage import let_go, mapped_zeros, spilling
from medseg.volume import Grid, Volume


@dataclass(frozen=True, kw_only=True)
class Maps:
    """What of a ``Segmentation`` is not labels."""

    probabilities: dict[int, Volume] | None
    entropy: Volume | None
    attention: dict[int, Volume] | None


# Of a contract, what decides which labels come out, beside the weights and the labels themselves.
SETTINGS = ("architecture", "head", "head_options", "options", "input", "post", "regions")


class LoadedModel:
    """A model with its weights on a device; made by ``load_model``."""

    _locator: "LoadedModel | None"

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
        batches: bool = True,
    ) -> None:
        if execution.mirror is None:
            execution = replace(execution, mirror=description.input.mirror_by_default)
        self._identify(found, description, device=device, registry=registry, execution=execution)
        self._locator = locator
        self._engine = Engine(
            name=self.name,
            description=description,
            network=network,
            device=device,
            execution=execution,
            registry=registry,
            batches=batches,
        )
        self._preparation = Preparation(description.input, lambda use: make_step(*self._step(use, "pre")))

    def _identify(
        self,
        found: Registered,
        description: Model,
        *,
        device: torch.device,
        registry: Registry,
        execution: Execution,
    ) -> None:
        self.name = found.full_name
        self.description = description
        self._plugin = found.plugin
        self._device = device
        self._registry = registry
        self._execution = execution
        self._locator = None
        self._post = [load_post_step(*self._step(use, "post")) for use in description.post]

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
        run = Run(progress=progress, cancel=cancel or CancelToken())
        with run.stage("read"):
            volumes = [s if isinstance(s, Volume) else load(Path(s)) for s in sources]
        problems = contract.check(volumes, self.description.input)
        fatal = {"refuse"} if force else {"refuse", "force"}
        refused = [str(p) for p in problems if p.severity in fatal]
        if refused:
            raise ContractError(f"model {self.name} cannot use this input. " + ". ".join(refused))
        with self._computing():
            labels, maps, answer = self._labels(volumes, run)
        measures = measure(labels, self.description.labels)
        forced = (f"forced: {p}" if p.severity == "force" else str(p) for p in problems)
        warnings = (*forced, *implausible(measures))
        return Segmentation(
            labels=labels,
            classes=self.description.labels,
            warnings=warnings,
            probabilities=maps.probabilities,
            entropy=maps.entropy,
            attention=maps.attention,
            provenance=self._provenance(volumes, run, answer, warnings),
        )

    def describe(self) -> dict[str, Any]:
        """What a result's provenance says of the model and of where it runs; JSON values."""
        described = to_json(self.description)
        locator = self._locator
        return {
            "model": self.name,
            "weights_sha256": self.description.weights.sha256,
            "locator": locator.describe_settings() if locator else None,
            **describe_environment(self._registry, self._device),
            "settings": {key: described[key] for key in SETTINGS},
            "labels": {str(c["value"]): c for c in described["labels"]},
            "execution": asdict(self._execution),
        }

    def describe_settings(self) -> dict[str, Any]:
        """What a whole says of a model that it is made of: its name, weights, and all that decides labels."""
        described = to_json(self.description)
        return {
            "model": self.name,
            "weights_sha256": self.description.weights.sha256,
            "settings": {key: described[key] for key in SETTINGS},
        }

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
        with self._computing():
            run = Run(progress=None, cancel=CancelToken())
            seen, _ = self._preparation.crop(reorient_together(volumes, wanted.orientation)[0])
            prepared, grid = self._prepare(seen, run)
            return self._engine.compare(prepared, grid, patient=patient)

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        execution = self._execution
        # Kept blocks raise the peak a little, so where memory was limited, time is what gives way.
        fast = self._device.type == "cpu" and execution.max_ram is None
        with torch.inference_mode(), arithmetic(execution), keep_freed_blocks(wanted=fast):
            yield

    def _labels(self, volumes: Sequence[Volume], run: Run) -> tuple[Volume, Maps, Answer]:
        turned, turn_back = reorient_together(volumes, self.description.input.orientation)
        seen = turned
        uncrop: Undo | None = None
        if self._locator and self.description.input.locator:
            with run.stage("locate"):
                # A run of its own: its stages are part of "locate" and are not counted twice.
                start, stop = self._locator.box(
                    volumes,
                    self.description.input.locator,
                    Run(progress=None, cancel=run.cancel),
                    home=seen[0].grid,
                )
            cropped = [crop(volume, start, stop) for volume in seen]
            seen, uncrop = [volume for volume, _ in cropped], cropped[0][1]
        seen, fill = self._preparation.crop(seen)
        home, maps_too = seen[0].grid, self._execution.probabilities
        plan = self._engine.plan(self._preparation.shape(home), home, home, maps=maps_too)
        with spilling(plan.room.arrays == "disk"):
            image, grid = self._prepare(seen, run, self._engine.place(plan))
        answer = self._engine.answer(image, grid, home, run, plan=plan, maps=maps_too)
        gates = self._engine.attention(image, grid, home, run) if self._execution.attention else None
        del image
        with run.stage("restore"):
            labels = fill(answer.labels)
            labels = uncrop(labels) if uncrop else labels
            undos = [fill, *([uncrop] if uncrop else [])]

            def bring_home(map_: NDArray[Any]) -> Volume:
                return turn_back(_on_disk(Volume(map_, home.affine), undos))

            maps = Maps(
                probabilities=_each(bring_home, answer.maps.of_label) if answer.maps else None,
                entropy=bring_home(answer.maps.entropy) if answer.maps else None,
                attention=_each(bring_home, gates) if gates else None,
            )
        with run.stage("finish"):
            for step in self._post:
                labels = step(labels, turned[0])
            return turn_back(labels), maps, answer

    def find_box(
        self, volumes: Sequence[Volume], locator: Locator, *, home: Grid
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """``box`` by itself, outside a prediction."""
        with self._computing():
            return self.box(volumes, locator, Run(progress=None, cancel=CancelToken()), home=home)

    def box(
        self, volumes: Sequence[Volume], locator: Locator, run: Run, *, home: Grid
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where this model, as a locator, finds its label: start and stop voxels with the margin.

        Args:
            volumes: as they are stored, one for each channel of this model.
            locator: which label, and the margin.
            run: what cancels.
            home: the grid whose voxels are meant, along the same axes in whatever order and direction.

        Raises:
            ContractError: it cannot use these volumes, has no such label, or finds nothing.
        """
        names = {c.value: c.name for c in self.description.labels}
        if locator.label not in names:
            raise ContractError(
                f"the locator {self.name} has no label {locator.label}; it has "
                + ", ".join(f"{value} ({name})" for value, name in names.items())
            )
        wanted = self.description.input
        refused = [str(p) for p in contract.check(volumes, wanted) if p.severity == "refuse"]
        if refused:
            raise ContractError(f"the locator {self.name} cannot use this input. " + ". ".join(refused))
        seen, _ = self._preparation.crop(reorient_together(volumes, wanted.orientation)[0])
        image, grid = self._prepare(seen, run)
        mask = largest_piece(self._engine.answer(image, grid, grid, run).labels.array == locator.label)
        if not mask.any():
            raise ContractError(
                f"the locator {self.name} finds no {names[locator.label]} in this input. Is it the right "
                "kind of image, and does its field of view hold it? "
                f"Intended use: {self.description.intended_use}"
            )
        corners = np.argwhere(mask)
        low, high = corners.min(0), corners.max(0) + 1
        widen = locator.margin * (high - low)
        to_voxels = np.linalg.inv(home.affine) @ grid.affine
        # Faces of voxels are at half indices in both grids, which are parallel but for order and direction.
        faces = np.stack([low - widen, high + widen]) - 0.5
        faces = np.sort(faces @ to_voxels[:3, :3].T + to_voxels[:3, 3], axis=0) + 0.5
        start = np.clip(np.floor(faces[0] + 1e-6), 0, None).astype(int)
        stop = np.minimum(np.ceil(faces[1] - 1e-6), home.shape).astype(int)
        return tuple(start.tolist()), tuple(stop.tolist())

    def _prepare(
        self, volumes: Sequence[Volume], run: Run, place: torch.device | None = None
    ) -> tuple[Tensor, Grid]:
        """The network's image (C,*S) on a device, the network's if None, and that image's grid."""
        with run.stage("prepare"):
            image, grid = self._preparation.image(volumes)
            return image.to(place or self._device), grid

    def _step(self, use: StepUse, stage: str) -> tuple[Registered, Mapping[str, Any], Registry]:
        name, options = use
        found = self._registry.find("step", name, within=self._plugin)
        if getattr(found.component, "stage", None) != stage:
            raise ContractError(f"model {self.name}: step {found.full_name} is not a {stage} step")
        return found, options, self._registry

    def _provenance(
        self, volumes: Sequence[Volume], run: Run, answer: Answer, warnings: Sequence[str]
    ) -> dict[str, Any]:
        return {
            **self.describe(),
            "input": [describe_input(volume) for volume in volumes],
            "warnings": list(warnings),
            "execution": {
                **asdict(self._execution),
                "backend": answer.choice.backend if answer.choice else self._execution.backend,
            },
            "backend_trials": answer.choice.sentence if answer.choice else None,
            "windows_without_body": answer.skipped,
            "seconds": spell_seconds(run.watch.seconds),
            "peak_memory_bytes": peak_memory_bytes(),
            "peak_vram_bytes": torch.cuda.max_memory_reserved(self._device)
            if self._device.type == "cuda"
            else None,
            "predicted_memory_bytes": answer.plan.as_json(),
            "intended_use": self.description.intended_use,
        }


def _each(
    bring_home: Callable[[NDArray[Any]], Volume], maps: Mapping[int, NDArray[Any]]
) -> dict[int, Volume]:
    return {key: bring_home(map_) for key, map_ in maps.items()}


def _on_disk(volume: Volume, undos: Sequence[Undo]) -> Volume:
    """A mapped volume after undos, mapped again if they made it larger: one at a time is in memory."""
    whole = volume
    for undo in undos:
        whole = undo(whole)
    if whole.shape == volume.shape:
        return whole
    array = mapped_zeros(whole.shape, whole.array.dtype)
    array[...] = whole.array
    let_go(array)
    return whole.with_array(array)

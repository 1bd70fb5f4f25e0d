"""A network ready to run: in its backend, within its memory, to labels on the grid they are wanted on."""

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.errors import OptionError, PluginError
from medseg.inference.attention import GateMaps, GatesOf
from medseg.inference.backends import Backends, Choice, Trial
from medseg.inference.body import Body, find_body
from medseg.inference.calibration import windows_of
from medseg.inference.calls import Network
from medseg.inference.execution import Execution
from medseg.inference.labels import label_map
from medseg.inference.live import watched
from medseg.inference.memory import MemoryPlan
from medseg.inference.network import LogitsOf, central_window, stream_logits
from medseg.inference.planner import Planner, window_shape
from medseg.inference.probabilities import ProbabilityMaps
from medseg.inference.run import Run
from medseg.inference.slab import Slab
from medseg.nnunet_grid import header_spacing, separate_axis
from medseg.plugin import Model, Slices, WholeGrid
from medseg.registry import Registry
from medseg.segmenter import Segmenter
from medseg.storage import spilling
from medseg.volume import Grid, Volume


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the network said of one image.

    Args:
        labels: on the grid that was wanted.
        maps: probabilities, if they were wanted.
        plan: memory that was predicted; its room is the one in which the run ended.
        choice: the backend that was taken, unless it is torch as it is.
        skipped: windows or slices that hold nothing of the body; None if none was looked for.
    """

    labels: Volume
    maps: ProbabilityMaps | None
    plan: MemoryPlan
    choice: Choice | None
    skipped: int | None = None


class Engine:
    """Runs one model's network over images.

    Args:
        name: of the model, for messages.
        description: the contract.
        network: in eval mode, with its weights.
        device: where it runs.
        execution: how.
        registry: whose backends there are.
        batches: whether the network takes several windows at once.
    """

    def __init__(
        self,
        *,
        name: str,
        description: Model,
        network: Segmenter,
        device: torch.device,
        execution: Execution,
        registry: Registry,
        batches: bool = True,
    ) -> None:
        self._name = name
        self._description = description
        self._network = network.to(device)
        self._device = device
        self._execution = execution
        self._registry = registry
        if execution.max_vram is not None and device.type == "cpu":
            raise OptionError(
                f"a limit on a GPU's memory (--max-vram) was given for {name}, which runs on the CPU; "
                "leave it out, or choose the GPU with --device cuda"
            )
        self._mirror = self._mirrored_axes() if execution.mirror else ()
        self._identity = {
            "weights": description.weights.sha256,
            "architecture": description.architecture,
            "options": {key: str(value) for key, value in description.options.items()},
            "head": [description.head, str(description.head_options)],
            "regions": description.regions,
        }
        plain = execution.backend == "eager" and execution.precision == "float32"
        self._backends = None if plain else self._choose_among(execution)
        self._ready: dict[tuple[float, ...], tuple[Network, Choice]] = {}
        depends = {**self._identity, "plugins": registry.versions()}
        self._planner = Planner(description, device, execution, depends, batches=batches)

    def plan(self, shape: tuple[int, ...], grid: Grid, home: Grid, *, maps: bool = False) -> MemoryPlan:
        """The memory of a run, before its image is prepared.

        Args:
            shape: of the network's image.
            grid: of it, as far as its spacing is known.
            home: that the labels are wanted on.
            maps: probabilities too.

        Raises:
            ResourceError: the run does not fit the limits on memory.
        """
        module = LogitsOf(self._network, grid.spacing_mm, self._description.input.patch)
        told, window = self._told(grid), window_shape(self._description)
        choosing = (
            self._backends is not None
            and told not in self._ready
            and self._backends.is_open(module, window, told=told)
        )
        return self._planner.plan(module, shape, home.shape, maps=maps, choosing=choosing)

    def place(self, plan: MemoryPlan) -> torch.device:
        """Where the image of a run waits for its windows to be cut."""
        return self._device if plan.room.image == "device" else torch.device("cpu")

    def answer(
        self,
        image: Tensor,
        grid: Grid,
        home: Grid,
        run: Run,
        *,
        plan: MemoryPlan | None = None,
        maps: bool = False,
    ) -> Answer:
        """What the network says of an image on its own grid, as labels on another.

        Args:
            image: (C,I,J,K), prepared, where ``place`` says.
            grid: of the image.
            home: that the labels are wanted on: parallel, about the same centre.
            run: what reports and what cancels.
            plan: of its memory; made here, if None.
            maps: probabilities too.
        """
        wanted = self._description.input
        patch = wanted.patch
        self._limit_vram()
        with run.stage("network"):
            module = LogitsOf(self._network, grid.spacing_mm, patch)
            plan = plan or self.plan(grid.shape, grid, home, maps=maps)
            network, choice, taken = self._make_ready(module, image, grid)
            if taken:
                plan = self._again(plan, module, grid, home, maps=maps)
            run.report("network", 0, 1, memory_bytes=plan.peak)
            body = self._find_body(image, grid)
            rooms = [plan.room]
            slabs = stream_logits(
                network,
                image,
                patch,
                mirror=self._mirror,
                room=plan.room,
                device=self._device,
                on_window=lambda done, total: run.report("network", done, total),
                on_smaller=rooms.append,
                body=body,
                cancel=run.cancel,
            )
            values = [c.value for c in self._description.labels]
            apart = wanted.spacing_mm if wanted.resampling == "nnunet" else None
            regions = self._description.regions
            kept = ProbabilityMaps(home.shape, values, regions=regions) if maps else None
            with spilling(plan.room.arrays == "disk"):
                labels = label_map(
                    map(self._finite, slabs),
                    grid,
                    home,
                    values,
                    regions=regions,
                    nearest_axis=separate_axis(apart, header_spacing(home)) if apart else None,
                    maps=kept,
                )
        plan = replace(plan, room=rooms[-1])
        skipped = body.skipped if body else None
        return Answer(labels=labels, maps=kept, plan=plan, choice=choice, skipped=skipped)

    def attention(self, image: Tensor, grid: Grid, home: Grid, run: Run) -> dict[int, NDArray[Any]]:
        """What passes the network's gates (I,J,K), by level; see ``answer``.

        Raises:
            OptionError: the network has no gates.
        """
        backbone = self._network.backbone
        if not hasattr(backbone, "gate_maps"):
            raise OptionError(
                f"the network of {self._name}, {self._description.architecture}, has no attention gates"
            )
        patch = self._description.input.patch
        with run.stage("attention"):
            gates = GatesOf(backbone)
            levels = gates.levels(central_window(image, patch).shape)
            slabs = stream_logits(
                gates,
                image,
                patch,
                device=self._device,
                on_window=lambda done, total: run.report("attention", done, total),
                cancel=run.cancel,
            )
            kept = GateMaps(home.shape, levels)
            # Each gate is a map of its own, as a region is; which one is open widest means nothing.
            label_map(slabs, grid, home, range(len(levels) + 1), regions=True, maps=kept)
        return kept.of_level

    def compare(self, image: Tensor, grid: Grid, *, patient: bool) -> list[Trial]:
        """Time every backend of the precision on a window of an image (C,I,J,K) against torch."""
        backends = self._choose_among(replace(self._execution, backend="auto"))
        module = LogitsOf(self._network, grid.spacing_mm, self._description.input.patch)
        candidates = backends.candidates(patient=patient)
        return backends.compare(module, self._windows(image), candidates, told=self._told(grid))

    def _limit_vram(self) -> None:
        """Torch takes no more of the GPU than is allowed: what a plan did not foresee then runs out there."""
        if self._device.type != "cuda":
            return
        index = cast("int | None", self._device.index)  # torch says that there always is one
        index = torch.cuda.current_device() if index is None else index
        whole, limit = torch.cuda.get_device_properties(index).total_memory, self._execution.max_vram
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / whole) if limit else 1.0, index)
        torch.cuda.reset_peak_memory_stats(self._device)

    def _mirrored_axes(self) -> tuple[int, ...]:
        wanted = self._description.input
        axes = wanted.mirror
        if axes is None:
            axes = (0, 1) if isinstance(wanted.patch, Slices) else (0, 1, 2)
        if not axes:
            raise OptionError(f"{self._name} was trained without mirroring; leave out --mirror")
        return axes

    def _choose_among(self, execution: Execution) -> Backends:
        return Backends(
            execution,
            device=self._device,
            identity=self._identity,
            registry=self._registry,
            regions=self._description.regions,
        )

    def _windows(self, image: Tensor) -> Tensor:
        """The windows (N,C,*S) that a backend is chosen by: one, or several where it is calibrated."""
        patch = self._description.input.patch
        exact = self._execution.precision == "float32"
        windows = central_window(image, patch) if exact else windows_of(image, patch)
        return windows.to(self._device)

    def _make_ready(self, module: LogitsOf, image: Tensor, grid: Grid) -> tuple[Network, Choice | None, bool]:
        """The network in its backend, and whether it was made now and its memory measured.

        It is made once, and once more for another spacing if a head is told it.
        """
        if self._backends is None:
            return module, None, False
        key = self._told(grid)
        if key in self._ready:
            return *self._ready[key], False
        windows = self._windows(image)
        window = windows[:1]
        network, choice = self._ready[key] = self._backends.ready(module, windows, told=key)
        if self._execution.max_ram is None or self._device.type != "cpu":
            return network, choice, False
        network(window)  # what it allocates once is not a window's
        self._planner.measured(watched(lambda: network(window))[1])
        return network, choice, True

    def _find_body(self, image: Tensor, grid: Grid) -> Body | None:
        if not self._execution.body_mask or isinstance(self._description.input.patch, WholeGrid):
            return None
        return find_body(image, grid.spacing_mm, regions=self._description.regions)

    def _told(self, grid: Grid) -> tuple[float, ...]:
        """What the network computes with besides its input: the spacing, which heads are told."""
        return grid.spacing_mm if self._description.head else ()

    def _again(self, plan: MemoryPlan, module: LogitsOf, grid: Grid, home: Grid, *, maps: bool) -> MemoryPlan:
        """The plan with what the backend was seen to take; the image is there already."""
        again = self._planner.plan(module, grid.shape, home.shape, maps=maps, held=plan.image)
        most = plan if plan.choosing and plan.peak > again.peak else again
        return replace(most, room=replace(again.room, arrays=plan.room.arrays))

    def _finite(self, slab: Slab) -> Slab:
        if not bool(torch.isfinite(torch.stack(torch.aminmax(slab.logits))).all()):
            # They would compare as "not above the background", and the mask would be empty without a word.
            raise PluginError(
                f"the network of {self._name} gave NaN or infinite scores for this input. "
                + (
                    "Try --device cpu"
                    if slab.logits.is_cuda
                    else "Is it the kind of image that the model is for?"
                )
            )
        return slab

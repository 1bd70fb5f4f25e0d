"""A method without a network, run as a model is: on the input's own grid, with its origin recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from medseg import contract
from medseg.description import as_json
from medseg.errors import ContractError, OptionError, PluginError
from medseg.formats import load
from medseg.inference.execution import Execution
from medseg.measure import implausible, measure
from medseg.options import check_options, options_of
from medseg.plugin import Channel, Input, Label, Method, WholeGrid
from medseg.predictor import Source
from medseg.progress import CancelToken, OnProgress, Progress
from medseg.provenance import (
    Stopwatch,
    describe_environment,
    describe_input,
    peak_memory_bytes,
    spell_seconds,
)
from medseg.registry import Registered, Registry
from medseg.segmentation import Segmentation
from medseg.volume import Volume

# A method takes one image of any modality, unit, spacing and orientation as it comes.
ANY_IMAGE = Input(
    channels=(Channel(name="image", modality=contract.ANY_UNIT, unit=contract.ANY_UNIT),),
    spacing_mm=None,
    orientation="RAS",
    patch=WholeGrid(shape=(1, 1, 1)),
)
# Okabe and Ito's, which can be told apart also by people who do not see red and green.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


class LoadedMethod:
    """A method with its options; made by ``load_model``.

    Args:
        found: the method.
        options: of its factory.
        device: it runs on the CPU, so ``auto`` or ``cpu``.
        execution: of networks; anything but the default is refused.
        registry: where it was found.

    Raises:
        OptionError: an option that it does not take, or a setting that concerns networks alone.
    """

    def __init__(
        self,
        found: Registered,
        *,
        options: Mapping[str, Any],
        device: str,
        execution: Execution | None,
        registry: Registry,
    ) -> None:
        self.name = found.full_name
        self.description = cast(Method, found.component)
        settings = self._execution = execution or Execution()
        foreign = {
            "a backend": settings.backend != "eager",
            "a precision": settings.precision != "float32",
            "mirroring": settings.mirror,
            "probabilities": settings.probabilities,
            "maps of attention": settings.attention,
            "a limit on memory": settings.max_ram is not None or settings.max_vram is not None,
            "a deterministic mode": settings.deterministic,
            f"the device {device!r}": device not in ("auto", "cpu"),
        }
        if any(foreign.values()):
            what = ", ".join(name for name, given in foreign.items() if given)
            raise OptionError(
                f"{self.name} has no network and runs on the CPU, so it does not know {what}; leave it out"
            )
        factory = registry.load(found)
        checked = check_options(factory, options, owner=f"method {self.name}")
        self.options = {o.name: o.default for o in options_of(factory).values()} | checked
        self._call = factory(**checked)
        self._registry = registry

    def describe(self) -> dict[str, Any]:
        """What a result's provenance says of the method and of where it runs; JSON values."""
        return {
            "model": self.name,
            "weights_sha256": None,
            "locator": None,
            **describe_environment(self._registry, torch.device("cpu")),
            "settings": {"options": self.options},
            "labels": {str(c.value): as_json(c) for c in self.description.labels},
            "execution": asdict(self._execution),
        }

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
        watch = Stopwatch()
        with watch.stage("read"):
            volumes = [s if isinstance(s, Volume) else load(Path(s)) for s in sources]
        problems = contract.check(volumes, ANY_IMAGE)
        fatal = {"refuse"} if force else {"refuse", "force"}
        refused = [str(p) for p in problems if p.severity in fatal]
        if refused:
            raise ContractError(f"{self.name} cannot use this input. " + ". ".join(refused))
        (volume,) = volumes
        if cancel:
            cancel.check()
        if progress:
            progress(Progress(stage="method", done=0, total=1))
        with watch.stage("method"):
            labels = self._call(volume)
        classes = self._classes(labels, volume)
        if progress:
            progress(Progress(stage="method", done=1, total=1))
        warnings = (*map(str, problems), *implausible(measure(labels, classes)))
        return Segmentation(
            labels=labels,
            classes=classes,
            warnings=warnings,
            provenance={
                **self.describe(),
                "labels": {str(c.value): as_json(c) for c in classes},
                "input": [describe_input(volume)],
                "warnings": list(warnings),
                "seconds": spell_seconds(watch.seconds),
                "peak_memory_bytes": peak_memory_bytes(),
                "predicted_memory_bytes": None,
                "intended_use": self.description.intended_use,
            },
        )

    def _classes(self, labels: object, image: Volume) -> tuple[Label, ...]:
        """What the values mean, once it is sure that they are labels on the image's grid."""
        if not isinstance(labels, Volume) or labels.kind != "labels" or not labels.grid.matches(image.grid):
            raise PluginError(
                f"the method {self.name} returned {labels!r}; wanted a label map on the image's grid, "
                f"{image.grid!r}"
            )
        described = self.description.labels
        if not described:
            return name_by_number(int(labels.array.max()))
        foreign = set(np.unique(labels.array).tolist()) - {label.value for label in described}
        if foreign:
            raise PluginError(
                f"the method {self.name} gave the labels {sorted(foreign)[:5]} and does not describe them; "
                f"it has {', '.join(f'{label.value} ({label.name})' for label in described)}"
            )
        return described


def name_by_number(largest: int) -> tuple[Label, ...]:
    """Labels that have no other name than their number."""
    background = Label(value=0, name="background", colour="#000000")
    numbered = (
        Label(value=n, name=f"class {n}", colour=COLOURS[(n - 1) % len(COLOURS)])
        for n in range(1, largest + 1)
    )
    return (background, *numbered)

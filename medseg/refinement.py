"""Steps that follow a model because the user asks for them: ``--refine "tdac iterations=40"``.

They are the post steps of the plugin API, run on the input's own grid, with its spacing and, where they
need it, its image. A contract's own post steps are loaded here too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from medseg.errors import ContractError, OptionError, PluginError
from medseg.formats import load
from medseg.measure import implausible, measure
from medseg.options import check_options, options_of, parse_pairs
from medseg.plugin import Step, StepUse
from medseg.predictor import Predictor, Source
from medseg.progress import CancelToken, OnProgress, Progress
from medseg.provenance import Stopwatch, spell_seconds
from medseg.registry import Registry, default_registry
from medseg.segmentation import Segmentation
from medseg.steps import OnLabels, Show, load_post_step
from medseg.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Refiner:
    """A step with its options, ready for label maps.

    Args:
        name: full name of the step.
        options: all of them, defaults included, for the record.
        step: called with the labels and the image.
    """

    name: str
    options: Mapping[str, Any]
    step: OnLabels

    def apply(
        self,
        labels: Volume,
        image: Volume,
        *,
        on_labels: Show | None = None,
        fixed: Volume | None = None,
    ) -> Volume:
        """The labels after the step.

        Args:
            labels, image: on one grid.
            on_labels: called by a step that shows labels on the way.
            fixed: a mask on the same grid: where it is set, labels stay as they are.

        Raises:
            ContractError: image and labels do not lie on one grid.
            PluginError: the step moved the grid or added a label: no organ may turn into another.
        """
        grids = [labels.grid, *([fixed.grid] if fixed else [])]
        if labels.kind != "labels" or not all(grid.matches(image.grid) for grid in grids):
            raise ContractError(
                f"the step {self.name} wants labels on the image's grid, {image.grid!r}; got {labels!r}: "
                "resample one onto the other"
            )
        changed = self.step(labels, image, on_labels, fixed)
        added = sorted(_values(changed) - _values(labels) - {0})
        if changed.kind != "labels" or not changed.grid.matches(labels.grid) or added:
            raise PluginError(
                f"the step {self.name} gave {changed!r} with the new labels {added[:5]}; wanted a label map "
                f"on the grid of its input, {labels.grid!r}, without new labels"
            )
        return changed


def find_refiners(
    wanted: Sequence[str | StepUse], *, registry: Registry | None = None
) -> tuple[Refiner, ...]:
    """Look up steps by name, with options behind the name or beside it.

    Args:
        wanted: ``"tdac iterations=40"``, or ``("tdac", {"iterations": 40})``, in the order in which they run.
        registry: where to look names up; what is installed, if None.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: the step has no such option, or does not work on label maps.
    """
    registry = registry or default_registry()
    refiners = []
    for use in wanted:
        if isinstance(use, str):
            name, *pairs = use.split() or [""]
            example = '--refine "tdac iterations=40"'
            options = parse_pairs(tuple(pairs), flag="--refine", example=example)
        else:
            name, options = use[0], dict(use[1])
        found = registry.find("step", name)
        if cast(Step, found.component).stage != "post":
            post = (r for r in registry.components("step") if cast(Step, r.component).stage == "post")
            offers = ", ".join(r.full_name for r in post)
            raise OptionError(
                f"the step {found.full_name} works on images, before the network; wanted one on label maps: "
                f"{offers}"
            )
        factory = registry.load(found)
        checked = check_options(factory, options, owner=f"step {found.full_name}")
        defaults = {option.name: option.default for option in options_of(factory).values()}
        step = load_post_step(found, checked, registry)
        refiners.append(Refiner(name=found.full_name, options=defaults | checked, step=step))
    return tuple(refiners)


class Refined:
    """A model or method whose results go through further steps."""

    def __init__(self, predictor: Predictor, refiners: Sequence[Refiner]) -> None:
        self.name, self.description = predictor.name, predictor.description
        self._predictor = predictor
        self._refiners = tuple(refiners)

    def describe(self) -> dict[str, Any]:
        """The same of the model, and the steps behind it."""
        steps = [{"step": r.name, "options": dict(r.options)} for r in self._refiners]
        return {**self._predictor.describe(), "refine": steps}

    def segment(
        self,
        image: Source | Sequence[Source],
        *,
        force: bool = False,
        progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> Segmentation:
        """Segment one image, then refine; see ``medseg.segment``."""
        sources = [image] if isinstance(image, Volume | str | PathLike) else list(image)
        watch = Stopwatch()
        with watch.stage("read"):
            volumes = [s if isinstance(s, Volume) else load(Path(s)) for s in sources]
        result = self._predictor.segment(volumes, force=force, progress=progress, cancel=cancel)
        labels = result.labels
        for number, refiner in enumerate(self._refiners):
            if cancel:
                cancel.check()
            if progress:
                progress(Progress(stage="refine", done=number, total=len(self._refiners)))
            with watch.stage("refine"):
                labels = refiner.apply(labels, volumes[0])
        before, after = implausible(result.measures), implausible(measure(labels, result.classes))
        warnings = (*(w for w in result.warnings if w not in before), *after)
        seconds = dict(result.provenance["seconds"])
        seconds["read"] = seconds.get("read", 0.0) + watch.seconds["read"]
        record = {
            **result.provenance,
            "refine": self.describe()["refine"],
            "warnings": list(warnings),
            "seconds": spell_seconds({**seconds, "refine": watch.seconds["refine"]}),
        }
        return replace(result, labels=labels, warnings=warnings, provenance=record)


def refine(
    image: Source,
    labels: Source,
    step: str,
    *,
    on_labels: Show | None = None,
    fixed: Source | None = None,
    registry: Registry | None = None,
    **options: Any,
) -> Volume:
    """Refine a mask with a step, whatever it came from.

    Args:
        image: a volume or a path: what the labels were drawn on.
        labels: a label map or a path, on the image's grid.
        step: a post step's name, such as ``tdac``.
        on_labels: called by a step that shows its work, with the iterations done and the labels then;
            what it raises ends the call.
        fixed: a mask on the same grid: where it is set, labels stay as they are.
        registry: where to look names up; what is installed, if None.
        **options: of the step.

    Returns:
        The label map, on the same grid.

    Raises:
        UnknownNameError: no such step is installed.
        OptionError: the step has no such option, or does not work on label maps.
        VolumeError: a file is refused by its reader.
        ContractError: image and labels do not lie on one grid.

    Example:
        >>> import medseg
        >>> better = medseg.refine("head.nii.gz", "mask.nii.gz", "tdac", iterations=40)  # doctest: +SKIP
    """
    seen = image if isinstance(image, Volume) else load(Path(image))
    drawn = labels if isinstance(labels, Volume) else load(Path(labels), kind="labels")
    (refiner,) = find_refiners([(step, options)], registry=registry)
    held = fixed if isinstance(fixed, Volume) or fixed is None else load(Path(fixed), kind="labels")
    return refiner.apply(drawn, seen, on_labels=on_labels, fixed=held)


def _values(labels: Volume) -> set[int]:
    return set(np.unique(labels.array).tolist())

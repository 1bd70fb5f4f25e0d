"""The job of ``medseg segment``: read a volume, segment it, write the label map and what comes with it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from medseg.atomic import write_together
from medseg.batch.cases import Case
from medseg.batch.job import Report
from medseg.catalogue import find_parts
from medseg.errors import OptionError, ResourceError
from medseg.formats import check_permissions, load, reader_options
from medseg.inference.execution import Execution
from medseg.inference.live import free_bytes
from medseg.inference.memory import parse_bytes
from medseg.plugin import Method, Model
from medseg.predict import load_model
from medseg.predictor import Predictor
from medseg.progress import CancelToken, OnProgress
from medseg.provenance import measured_in, without_measured
from medseg.registry import Registry, default_registry
from medseg.results import check_exports, find_exports, result_writers
from medseg.segmentation import Segmentation
from medseg.volume import Volume

_Read = tuple[list[Volume], list[dict[str, Any]], float]
_Worked = tuple[Segmentation, list[Volume], list[dict[str, Any]]]

_LIMITS = ("max_ram", "max_vram")  # how much memory a run may use; they change no result


class SegmentCases:
    """Segment cases with one model, which stays loaded.

    Args:
        model, device, options, execution, refine: as in ``load_model``. ``execution`` may be its fields, and
            the limit on memory in words: ``4GiB``.
        exports: other objects to write each result as: ``"stl smooth_mm=1"``.
        picture: also draw each result as PNG.
        read_options: permissions for the readers of all cases.
        force: as in ``segment``.
        times: whether the record beside each result says how long it took. Without, the same case gives
            the same bytes.
    """

    def __init__(
        self,
        *,
        model: str | Predictor,
        device: str = "auto",
        options: Mapping[str, Any] | None = None,
        execution: Execution | Mapping[str, Any] | None = None,
        refine: Sequence[str] = (),
        exports: Sequence[str] = (),
        picture: bool = False,
        read_options: Mapping[str, Any] | None = None,
        force: bool = False,
        times: bool = False,
        cancel: CancelToken | None = None,
    ) -> None:
        self._exports = find_exports(exports)
        self._load: Callable[[Execution], Predictor] | None = None
        if isinstance(execution, Mapping):
            limits = {name: execution.get(name) for name in _LIMITS}
            in_bytes = {n: parse_bytes(size) if isinstance(size, str) else size for n, size in limits.items()}
            execution = Execution(**{**execution, **in_bytes})
        if isinstance(model, str):
            load = partial(load_model, model, device=device, options=options, refine=refine)
            self._load = lambda execution: load(execution=execution)
            self._execution = execution or Execution()
            model = self._load(self._execution)
        self._model = model
        self._picture = picture
        self._read_options = dict(read_options or {})
        self._force = force
        self._times = times
        self._cancel = cancel
        self._settings = {
            **_decisive(self._model.describe()),
            "plugins": _versions_that_matter(self._model, exports, default_registry()),
            "exports": list(exports),
            "picture": picture,
            "permissions": self._read_options,
            "force": force,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        """The model, its weights and contract, versions, and how it is run."""
        return self._settings

    def read(self, case: Case) -> _Read:
        """Each channel's volume, the permissions that it was read with, and the seconds it took."""
        start = time.perf_counter()
        check_exports(self._exports, case.sources[0])
        check_permissions(case.sources, case.options)
        given = {**self._read_options, **case.options}
        options = [reader_options(source, given) for source in case.sources]
        volumes = [load(source, **o) for source, o in zip(case.sources, options, strict=True)]
        return volumes, options, time.perf_counter() - start

    def work(self, case: Case, item: _Read, *, smaller: bool, progress: OnProgress | None) -> _Worked:  # noqa: ARG002  # a job is told the case
        """Segment it; if ``smaller``, within half of the memory that is free, if it can be done in that."""
        volumes, options, seconds = item
        segment = partial(self._segment, volumes, progress=progress)
        result = segment(self._within_half() if smaller else self._model)
        stages = {**result.provenance["seconds"], "read": round(seconds, 3)}
        result = replace(result, provenance={**result.provenance, "seconds": stages})
        return result, volumes, options

    def _segment(self, volumes: list[Volume], model: Predictor, progress: OnProgress | None) -> Segmentation:
        try:
            return model.segment(volumes, force=self._force, progress=progress, cancel=self._cancel)
        except ResourceError:
            if model is self._model:
                raise
            return self._segment(volumes, self._model, progress)  # it does not fit in half

    def _within_half(self) -> Predictor:
        """The model with a limit on memory, loaded for this case; as it is, where there is no such limit."""
        free = free_bytes()
        if self._load is None or free is None:
            return self._model
        limit = min(free // 2, self._execution.max_ram or free)
        try:
            return self._load(replace(self._execution, max_ram=limit))
        except OptionError:  # a method without a network plans no memory
            return self._model

    def write(self, case: Case, item: _Worked, folder: Path) -> Report:
        """Write the label map, its record, and what else was asked for."""
        result, volumes, options = item
        writers = result_writers(
            result,
            image=volumes[0],
            record=None if self._times else _repeatable(result.provenance),
            source=case.sources[0],
            read_options=options[0],
            exports=self._exports,
            picture=self._picture,
        )
        files = [folder / path.name for path in case.files]
        if folder == case.target.parent:
            write_together(list(zip(files, writers, strict=True)))
        else:
            for path, write in zip(files, writers, strict=True):
                write(path)
        labels = [
            {"value": m.label.value, "name": m.label.name, "voxels": m.voxels, "ml": round(m.ml, 4)}
            for m in result.measures
        ]
        return Report(
            result={"labels": labels, "warnings": list(result.warnings)},
            measured={
                **measured_in(result.provenance),
                "backend": result.provenance["execution"]["backend"],
            },
        )


def _repeatable(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a result, the same each time, whatever memory there was."""
    record = without_measured(provenance)
    execution = {name: value for name, value in record["execution"].items() if name not in _LIMITS}
    backend = str(execution["backend"]).partition(": ")[
        0
    ]  # how fast it was when it was chosen is in the journal
    return {**record, "execution": {**execution, "backend": backend}}


def _decisive(described: Mapping[str, Any]) -> dict[str, Any]:
    """What a model's description says that its results depend on."""
    execution = {name: value for name, value in described["execution"].items() if name not in _LIMITS}
    names = ("model", "weights_sha256", "locator", "settings", "labels", "medseg", "torch")
    return {
        **{name: described[name] for name in names},
        # Which of several alike devices it was, and its threads, change no more than the last bits of scores;
        # who asked for the same bytes is held to the same threads.
        "device": str(described["device"]).partition(" ")[0].partition(":")[0],
        "threads": described["threads"] if execution["deterministic"] else None,
        "execution": execution,
        "refine": described.get("refine", []),
    }


def _versions_that_matter(model: Predictor, exports: Sequence[str], registry: Registry) -> dict[str, str]:
    """Versions of the plugins that may have had a part in a result: others may come and go."""
    used = _plugins_of(model.description, model.name.partition(":")[0], registry)
    used |= {registry.find("export", text.split()[0]).plugin for text in exports}
    used |= {r.plugin for kind in ("format", "step", "backend") for r in registry.components(kind)}
    return {r.distribution: r.version for r in registry.records if r.name in used}


def _plugins_of(described: Model | Method, plugin: str, registry: Registry) -> set[str]:
    """Those that offer a model, its network, and those of the models that it is made of."""
    used = {plugin}
    if isinstance(described, Model):
        for part in find_parts(described, plugin, registry=registry):
            used |= _plugins_of(cast(Model, part.component), part.plugin, registry)
        kinds = (("architecture", described.architecture), ("head", described.head))
        used |= {registry.find(kind, name, within=plugin).plugin for kind, name in kinds if name}
    return used

"""Many cases through one model: find them, name their results, write each whole or not at all."""

import re
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medseg.atomic import sweep_stale_parts
from medseg.channels import Group, group_channels, split_name
from medseg.errors import ContractError, MedsegError, OptionError, ResourceError, VolumeError
from medseg.formats import (
    check_writable,
    is_one_volume,
    known_suffixes,
    load,
    reader_options,
    stem_of,
    suffix_of,
)
from medseg.loaded import LoadedModel
from medseg.progress import CancelToken, OnProgress
from medseg.registry import Registry, default_registry
from medseg.results import ChosenExport, result_files, write_result
from medseg.segmentation import Segmentation

DEFAULT_SUFFIX = ".nii.gz"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input and where its result goes.

    Args:
        name: the input's file name without suffix, by which it is reported.
        source: the input; of several channels the first, to which exports refer.
        target: the label map to write; what else there is of a result goes beside it.
        further: the other channels, in the model's order.
        problem: why it is refused before anything is read, such as a missing channel; empty if it is not.
    """

    name: str
    source: Path
    target: Path
    further: tuple[Path, ...] = ()
    problem: str = ""

    @property
    def sources(self) -> tuple[Path, ...]:
        """Every channel."""
        return (self.source, *self.further)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a case: a segmentation and its files, or the reason why there is none.

    Args:
        case: which.
        segmentation: None if it was refused or failed.
        refusal: why, in a sentence.
        traceback: where, if it failed for a fault in some code, a plugin's say.
        written: the files of the result.
    """

    case: Case
    segmentation: Segmentation | None = None
    refusal: str = ""
    traceback: str = ""
    written: tuple[Path, ...] = ()


def find_cases(
    inputs: Sequence[Path],
    out: Path,
    *,
    channels: Sequence[str] = (),
    registry: Registry | None = None,
) -> list[Case]:
    """Turn inputs (files, and folders of files) into cases with a name and a target each.

    Args:
        inputs: files, or folders whose readable files are cases.
        out: a file, if there is one case and the name has a writable suffix; else a folder.
        channels: the model's. If there are several, inputs become the channels of a case by their
            names; see ``group_channels``.
        registry: whose formats say what is readable.

    Raises:
        OptionError: nothing to do, two cases of one name, or a target that is an input.
    """
    registry = registry or default_registry()
    suffixes = known_suffixes(registry)
    sources = [(path, file) for path in inputs for file in _expand(path, registry)]
    if not sources:
        raise OptionError(
            f"nothing readable in {', '.join(path.name for path in inputs)}; looked for {', '.join(suffixes)}"
        )
    if len(channels) > 1:
        return _place(_grouped(sources, channels, suffixes), out, alone=len(inputs) == 1, registry=registry)
    groups = [Group(name=_case_name(root, source, suffixes), sources=(source,)) for root, source in sources]
    alone = len(sources) == 1 and sources[0][0] == sources[0][1]
    return _place(groups, out, alone=alone, registry=registry)


def case_of_channels(
    sources: Sequence[Path], out: Path, *, channels: Sequence[str], registry: Registry | None = None
) -> Case:
    """The one case whose channels were named one by one.

    Args:
        sources: in the model's order; from ``name_channels``.
        out, channels, registry: as in ``find_cases``.

    Raises:
        OptionError: as ``find_cases``.
    """
    registry = registry or default_registry()
    first = _case_name(sources[0], sources[0], known_suffixes(registry))
    group = Group(name=split_name(first, channels)[0] or first, sources=tuple(sources))
    (case,) = _place([group], out, alone=True, registry=registry)
    return case


def _grouped(
    sources: Sequence[tuple[Path, Path]], channels: Sequence[str], suffixes: Sequence[str]
) -> list[Group]:
    """Cases of several channels; one whose files are called by the channels alone has its folder's name."""
    named = [(_case_name(root, source, suffixes), source) for root, source in sources]
    groups = group_channels(named, channels)
    return [replace(g, name=g.name or g.sources[0].resolve().parent.name) for g in groups]


def _place(groups: Sequence[Group], out: Path, *, alone: bool, registry: Registry) -> list[Case]:
    """Give each group its target: a file for one alone if ``out`` names one, else a file of the folder."""
    suffixes = known_suffixes(registry)
    names = [group.name for group in groups]
    names_a_file = bool(suffix_of(out.name, suffixes)) and not out.is_dir()
    if names_a_file and (not alone or len(groups) > 1):
        raise OptionError(f"{out} names one file, but there are {len(groups)} cases; name a folder")
    if names_a_file:
        check_writable(out, registry=registry)
        targets = [out]
    else:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise OptionError(
                f"several inputs are called {', '.join(twice)}; their results would overwrite each other: "
                "segment them into separate folders"
            )
        targets = [out / (name + DEFAULT_SUFFIX) for name in names]
    cases = [
        Case(
            name=group.name,
            source=group.sources[0],
            further=group.sources[1:],
            target=target,
            problem=group.problem,
        )
        for group, target in zip(groups, targets, strict=True)
    ]
    taken = {source.resolve() for case in cases for source in case.sources}
    for case in cases:
        if case.target.resolve() in taken:
            raise OptionError(f"{case.target} is an input; choose another place for the result")
    return cases


def run_cases(
    cases: Sequence[Case],
    model: LoadedModel,
    *,
    overwrite: bool = False,
    read_options: Mapping[str, Any] | None = None,
    exports: Sequence[ChosenExport] = (),
    picture: bool = False,
    force: bool = False,
    progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Outcome]:
    """Segment cases one after the other; one that is refused or fails does not stop the others.

    For each case the label map gets its name last, so that no result ever stands without its origin.

    Args:
        cases: from ``find_cases``.
        model: from ``load_model``.
        overwrite: replace files that exist; otherwise such a case is refused.
        read_options: permissions for the reader.
        exports: other objects to write each result as, from ``find_exports``.
        picture: also draw each result as PNG.
        force, progress, cancel: as in ``segment``.

    Raises:
        ResourceError, PluginError, Cancelled, OSError, MemoryError, ImportError: what the next case
            would meet as well.
    """
    for folder in {case.target.parent for case in cases}:
        _make_folder(folder)
        sweep_stale_parts(folder)
    for case in cases:
        if case.problem:
            yield Outcome(case=case, refusal=case.problem)
            continue
        files = result_files(case.target, exports=exports, picture=picture, maps=model.map_names)
        standing = [] if overwrite else [path for path in files if path.exists()]
        if standing:
            yield Outcome(case=case, refusal=f"{standing[0]} exists; use --overwrite to replace it")
            continue
        try:
            start = time.perf_counter()
            options = [reader_options(source, read_options or {}) for source in case.sources]
            images = [load(s, **given) for s, given in zip(case.sources, options, strict=True)]
            read_seconds = time.perf_counter() - start
            result = model.segment(images, force=force, progress=progress, cancel=cancel)
            result = _with_reading(result, read_seconds)
            write_result(
                result,
                case.target,
                image=images[0],
                source=case.source,
                read_options=options[0],
                exports=exports,
                picture=picture,
            )
        except (VolumeError, ContractError) as error:
            yield Outcome(case=case, refusal=str(error))
        except (MedsegError, OSError, MemoryError, ImportError):
            raise
        except Exception as error:  # noqa: BLE001  # a fault in a plugin's network ends its case, not the night's batch
            reason = f"{type(error).__name__}: {error}"
            yield Outcome(case=case, refusal=reason, traceback=traceback.format_exc())
        else:
            yield Outcome(case=case, segmentation=result, written=(case.target, *files[:-1]))


def expand_folder(path: Path, *, registry: Registry | None = None) -> list[Path]:
    """A file or a folder of slices as it is; else the readable files and series of a folder.

    Raises:
        OptionError: the folder holds none.
    """
    registry = registry or default_registry()
    found = _expand(path, registry)
    if not found:
        raise OptionError(f"nothing readable in {path}; looked for {', '.join(known_suffixes(registry))}")
    return found


def _case_name(root: Path, source: Path, suffixes: Sequence[str]) -> str:
    """The path below ``root``, joined by _, a file's without its suffix."""
    if source == root:
        return source.resolve().name if source.is_dir() else stem_of(source.name, suffixes)
    *folders, last = source.relative_to(root).parts
    return "_".join([*folders, last if source.is_dir() else stem_of(last, suffixes)])


def _with_reading(result: Segmentation, seconds: float) -> Segmentation:
    """The provenance counts the time of reading, which was done here, among the stages."""
    stages = {**result.provenance["seconds"], "read": round(seconds, 3)}
    return replace(result, provenance={**result.provenance, "seconds": stages})


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error


def _expand(path: Path, registry: Registry) -> list[Path]:
    """A file, or a folder that is one volume, as it is; else all that is readable in and below it."""
    if not path.is_dir():
        return [path]
    try:
        if is_one_volume(path, registry=registry):
            return [path]
        inside = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    except OSError as error:
        raise ResourceError(
            f"cannot look into {path}: {error.strerror}; check the permissions of the folder"
        ) from error
    suffixes = known_suffixes(registry)
    readable = [entry for entry in inside if entry.is_file() and suffix_of(entry.name, suffixes)]
    names = {entry.name.lower() for entry in readable}
    files = [entry for entry in readable if not names & _headers(entry.name.lower())]
    folders = [entry for entry in inside if entry.is_dir() and not entry.is_symlink()]
    return files + [case for folder in folders for case in _expand(folder, registry)]


def _headers(name: str) -> set[str]:
    """The names that the header of a NIfTI pair's .img may have: it names the case, and is read."""
    stem, is_image = re.subn(r"\.img(\.gz)?$", "", name)
    return {stem + ".hdr", stem + ".hdr.gz"} if is_image else set()

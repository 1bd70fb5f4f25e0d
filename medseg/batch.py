"""Many cases through one model: find them, name their results, write each whole or not at all."""

import functools
import json
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.atomic import sweep_stale_parts, write_whole
from medseg.errors import ContractError, MedsegError, OptionError, ResourceError, VolumeError
from medseg.formats import load, save
from medseg.plugin import Format
from medseg.predict import LoadedModel, Segmentation
from medseg.progress import CancelToken, OnProgress
from medseg.registry import Registry, default_registry
from medseg.volume import Volume

DEFAULT_SUFFIX = ".nii.gz"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input and where its result goes.

    Args:
        name: the input's file name without suffix, by which it is reported.
        source: the input.
        target: the label map to write; ``.json`` and ``.png`` of the same stem go beside it.
    """

    name: str
    source: Path
    target: Path

    def beside(self, suffix: str) -> Path:
        """A file next to the result: ``brain.nii.gz`` -> ``brain.json``."""
        return self.target.with_name(_stem(self.target.name, _suffixes(default_registry())) + suffix)


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


def find_cases(inputs: Sequence[Path], out: Path, *, registry: Registry | None = None) -> list[Case]:
    """Turn inputs (files, and folders of files) into cases with a name and a target each.

    Args:
        inputs: files, or folders whose readable files are cases.
        out: a file, if there is one input and the name has a writable suffix; else a folder.
        registry: whose formats say what is readable.

    Raises:
        OptionError: nothing to do, two cases of one name, or a target that is an input.
    """
    suffixes = _suffixes(registry or default_registry())
    sources = [file for path in inputs for file in _expand(path, suffixes)]
    if not sources:
        raise OptionError(
            f"no readable file in {', '.join(path.name for path in inputs)}; looked for {', '.join(suffixes)}"
        )
    if len(sources) == 1 and inputs[0].is_file() and _suffix(out.name, suffixes) and not out.is_dir():
        cases = [Case(name=_stem(sources[0].name, suffixes), source=sources[0], target=out)]
    else:
        names = [_stem(source.name, suffixes) for source in sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise OptionError(
                f"several inputs are called {', '.join(twice)}; their results would overwrite each other: "
                "segment them into separate folders"
            )
        cases = [
            Case(name=name, source=source, target=out / (name + DEFAULT_SUFFIX))
            for name, source in zip(names, sources, strict=True)
        ]
    taken = {source.resolve() for source in sources}
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
    picture: bool = False,
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
        picture: also draw each result as PNG.
        progress, cancel: as in ``segment``.

    Raises:
        ResourceError, PluginError, Cancelled, OSError, MemoryError, ImportError: what the next case
            would meet as well.
    """
    for folder in {case.target.parent for case in cases}:
        _make_folder(folder)
        sweep_stale_parts(folder)
    for case in cases:
        standing = [] if overwrite else [path for path in _files(case, picture=picture) if path.exists()]
        if standing:
            yield Outcome(case=case, refusal=f"{standing[0]} exists; use --overwrite to replace it")
            continue
        try:
            image = load(case.source, **dict(read_options or {}))
            result = model.segment(image, progress=progress, cancel=cancel)
            written = _write(case, image, result, picture=picture)
        except (VolumeError, ContractError) as error:
            yield Outcome(case=case, refusal=str(error))
        except (MedsegError, OSError, MemoryError, ImportError):
            raise
        except Exception as error:  # noqa: BLE001  # a fault in a plugin's network ends its case, not the night's batch
            reason = f"{type(error).__name__}: {error}"
            yield Outcome(case=case, refusal=reason, traceback=traceback.format_exc())
        else:
            yield Outcome(case=case, segmentation=result, written=written)


def expand_folder(path: Path, *, registry: Registry | None = None) -> list[Path]:
    """A file as it is; of a folder, the files that an installed format reads by their suffix.

    Raises:
        OptionError: the folder holds none.
    """
    suffixes = _suffixes(registry or default_registry())
    files = _expand(path, suffixes)
    if not files:
        raise OptionError(f"no readable file in {path}; looked for {', '.join(suffixes)}")
    return files


def _files(case: Case, *, picture: bool) -> tuple[Path, ...]:
    return (case.target, case.beside(".json"), *((case.beside(".png"),) if picture else ()))


def _write(case: Case, image: Volume, result: Segmentation, *, picture: bool) -> tuple[Path, ...]:
    """Write the files of a result one inside the other.

    Their names appear when all are on the disk, the label map's last: a full disk leaves none of
    them, and an older result as it was.
    """
    text = json.dumps(dict(result.provenance), indent=2) + "\n"

    def add_picture(_: Path) -> None:
        if picture:
            from medseg.picture import draw  # matplotlib is slow to import, and only needed here

            names = ", ".join(m.label.name for m in result.measures[:3])
            draw(image, result, case.beside(".png"), title=f"{case.name}: {names}")

    def write_origin(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    def add_origin(_: Path) -> None:
        write_whole(case.beside(".json"), write_origin, verify=add_picture)

    write_whole(case.target, functools.partial(save, result.labels), verify=add_origin)
    return _files(case, picture=picture)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error


def _expand(path: Path, suffixes: Sequence[str]) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = [f for f in sorted(path.iterdir()) if f.is_file() and not f.name.startswith(".")]
    except OSError as error:
        raise ResourceError(
            f"cannot look into {path}: {error.strerror}; check the permissions of the folder"
        ) from error
    readable = [f for f in files if _suffix(f.name, suffixes)]
    names = {f.name.lower() for f in readable}
    return [f for f in readable if not names & _headers(f.name.lower())]


def _headers(name: str) -> set[str]:
    """The names that the header of a NIfTI pair's .img may have: it names the case, and is read."""
    stem, is_image = re.subn(r"\.img(\.gz)?$", "", name)
    return {stem + ".hdr", stem + ".hdr.gz"} if is_image else set()


def _suffixes(registry: Registry) -> list[str]:
    described = [found.component for found in registry.components("format")]
    return sorted({s for f in described if isinstance(f, Format) for s in f.suffixes}, key=len, reverse=True)


def _suffix(name: str, suffixes: Sequence[str]) -> str:
    return next((s for s in suffixes if name.lower().endswith(s)), "")


def _stem(name: str, suffixes: Sequence[str]) -> str:
    suffix = _suffix(name, suffixes)
    return name[: -len(suffix)] if suffix else Path(name).stem

"""Cases: what goes in, what it is called, and the files that are to come of it."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from medseg.batch.manifest import Entry, is_manifest, read_manifest
from medseg.channels import group_channels, split_name
from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.formats import check_writable, is_one_volume, known_suffixes, list_contents, stem_of, suffix_of
from medseg.plugin import Content
from medseg.registry import Registry, default_registry

DEFAULT_SUFFIX = ".nii.gz"
JOURNAL = "medseg-journal.jsonl"
"""In a folder of results, what was done."""

Split = Literal["found", "all", "none"]
"""Folders found in a folder that was named; also what was named itself; nothing, for the user chose one."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One unit of a batch.

    Args:
        name: by which it is reported; unique in a batch.
        sources: what it reads: one path for each channel of a model, or a predicted and a true label map.
        files: what it writes, in the order in which the files appear; the last says that all are there.
            None of a case whose result is what the journal says of it.
        options: of this case alone, JSON values: permissions for the reader, such as ``series``.
        problem: why it is refused before anything is read, such as a missing channel; empty if it is not.
    """

    name: str
    sources: tuple[Path, ...]
    files: tuple[Path, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def target(self) -> Path:
        """The last file: the label map, of a segmentation."""
        return self.files[-1]

    @property
    def options_sha256(self) -> str:
        """All that a journal keeps of the options, which may name a patient's series."""
        return hashlib.sha256(json.dumps(dict(self.options), sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """For a worker process."""
        return {
            "name": self.name,
            "sources": [str(path.absolute()) for path in self.sources],
            "files": [str(path.absolute()) for path in self.files],
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Case":
        """What ``as_json`` described."""
        return cls(
            name=described["name"],
            sources=tuple(map(Path, described["sources"])),
            files=tuple(map(Path, described["files"])),
            options=described["options"],
        )


def find_cases(
    inputs: Sequence[Path],
    out: Path,
    *,
    channels: Sequence[str] = (),
    beside: Sequence[str] = (".json",),
    split: Split = "found",
    registry: Registry | None = None,
) -> list[Case]:
    """Turn inputs into cases with a name and a target each.

    Args:
        inputs: files; folders whose readable files and series are cases; manifests (.csv, .jsonl).
        out: a file, if there is one case and the name has a writable suffix; else a folder.
        channels: the model's. If there are several, inputs become the channels of a case by their
            names, within each folder; see ``group_channels``.
        beside: suffixes of the files that come with each label map.
        split: what is a case for each series in it, if it holds several; localizers are left aside.
        registry: whose formats say what is readable.

    Raises:
        OptionError: nothing to do, two cases of one name, or a target that is an input.
    """
    registry = registry or default_registry()
    suffixes = known_suffixes(registry)
    listed = [entry for path in inputs if is_manifest(path) for entry in _listed(path, channels, suffixes)]
    found = [
        (path, source)
        for path in inputs
        if not is_manifest(path)
        for source in _expand(path, registry, aside=out)
    ]
    if len(channels) > 1:
        entries = _grouped(found, channels, suffixes)
        alone = len(inputs) == len(entries) == 1
    else:
        entries = [
            entry
            for root, source in found
            for entry in _series(root, source, suffixes, registry, split=split)
        ]
        alone = len(entries) == 1 and found[0][0] == found[0][1]
    entries += listed
    if not entries:
        raise OptionError(
            f"nothing readable in {', '.join(path.name for path in inputs)}; looked for {', '.join(suffixes)}"
        )
    return _place(entries, out, alone=alone and not listed, beside=beside, registry=registry)


def case_of_channels(
    sources: Sequence[Path],
    out: Path,
    *,
    channels: Sequence[str],
    beside: Sequence[str] = (".json",),
    registry: Registry | None = None,
) -> Case:
    """The one case whose channels were named one by one.

    Args:
        sources: in the model's order; from ``name_channels``.
        out, channels, beside, registry: as in ``find_cases``.

    Raises:
        OptionError: as ``find_cases``.
    """
    registry = registry or default_registry()
    first = _case_name(sources[0], sources[0], known_suffixes(registry))
    entry = Entry(name=split_name(first, channels)[0] or first, sources=tuple(sources))
    (case,) = _place([entry], out, alone=True, beside=beside, registry=registry)
    return case


def is_alone(inputs: Sequence[Path], cases: Sequence[Case]) -> bool:
    """Whether one case was named, and not a cohort: it needs neither workers nor a journal."""
    return len(cases) == 1 and set(inputs) <= set(cases[0].sources)


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


def make_folder(folder: Path) -> None:
    """Make a folder for results, and those above it.

    Raises:
        ResourceError: the system refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error


def _listed(manifest: Path, channels: Sequence[str], suffixes: Sequence[str]) -> list[Entry]:
    """The cases of a manifest, each with a name and as many images as the model has channels."""
    entries = []
    for entry in read_manifest(manifest):
        name = entry.name or _case_name(entry.sources[0], entry.sources[0], suffixes)
        problem = entry.problem
        if len(entry.sources) != max(len(channels), 1) and not problem:
            problem = (
                f"{manifest.name} lists {len(entry.sources)} images for it; the model wants "
                f"{len(channels)}: {', '.join(channels)}"
            )
        entries.append(replace(entry, name=name, problem=problem))
    return entries


def _grouped(
    found: Sequence[tuple[Path, Path]], channels: Sequence[str], suffixes: Sequence[str]
) -> list[Entry]:
    """Cases of several channels; one whose files are called by the channels alone has its folder's name.

    Two folders that were named may be of two people, whose files have the same names: what belongs
    together is looked for within each, and among the files that were named, within the folder of each.

    Raises:
        OptionError: one name in several folders, and not a whole case in each.
    """
    by_folder: dict[Path, list[tuple[str, Path]]] = defaultdict(list)
    for root, source in found:
        folder = (root.parent if root == source else root).resolve()
        by_folder[folder].append((_case_name(root, source, suffixes), source))
    entries = []
    seen: dict[str, bool] = {}  # whether the cases of a name in the folders before are whole
    for folder, named in by_folder.items():
        # What is no channel at all may be in each folder, and is refused by itself.
        stem = f"{folder.name}_" if len(by_folder) > 1 else ""
        apart = [(n if split_name(n, channels)[1] is not None else stem + n, s) for n, s in named]
        own = [
            Entry(
                name=group.name or group.sources[0].parent.resolve().name,
                sources=group.sources,
                problem=group.problem,
            )
            for group in group_channels(apart, channels)
        ]
        for entry in own:
            if entry.name in seen and (entry.problem or not seen[entry.name]):
                raise OptionError(
                    f"channels of {entry.name} are in several folders of the inputs, which may be of several "
                    "people; put those of a case into one folder, list them in a manifest (.csv, .jsonl), or "
                    "name them with --channel"
                )
        seen |= {entry.name: not entry.problem for entry in own}
        entries += own
    return entries


def _series(
    root: Path, source: Path, suffixes: Sequence[str], registry: Registry, *, split: Split
) -> list[Entry]:
    """A source as a case; one of several series that is to be split, as one for each of them.

    A folder that was named itself is one volume to the user, who did not say otherwise: its reader lists
    the series and asks which.
    """
    name = _case_name(root, source, suffixes)
    contents: list[Content] = []
    if split == "all" or (split == "found" and source.is_dir() and source != root):
        try:
            contents = [c for c in list_contents(source, registry=registry) if not c.aside]
        except VolumeError as error:
            return [Entry(name=name, sources=(source,), problem=str(error))]
    if len(contents) < 2:
        return [Entry(name=name, sources=(source,))]
    return [
        Entry(
            name=f"{name}_series{content.number}",
            sources=(source,),
            options={"series": content.number},
            problem=content.refusal,
        )
        for content in contents
    ]


def _place(
    entries: Sequence[Entry], out: Path, *, alone: bool, beside: Sequence[str], registry: Registry
) -> list[Case]:
    """Give each entry its files: those that ``out`` names for one alone, else files of the folder."""
    suffixes = known_suffixes(registry)
    names_a_file = bool(suffix_of(out.name, suffixes)) and not _is_folder(out)
    if names_a_file and not (alone and len(entries) == 1):
        raise OptionError(f"{out} names one file, but there are {len(entries)} cases; name a folder")
    if names_a_file:
        check_writable(out, registry=registry)
        targets = [out]
    else:
        twice = _alike([entry.name for entry in entries])
        if twice:
            raise OptionError(
                f"several inputs are called {', '.join(twice)}; their results would overwrite each other: "
                "segment them into separate folders"
            )
        targets = [out / (entry.name + DEFAULT_SUFFIX) for entry in entries]
    cases = [
        Case(
            name=entry.name,
            sources=entry.sources,
            files=(*(target.with_name(stem_of(target.name, suffixes) + s) for s in beside), target),
            options=entry.options,
            problem=entry.problem,
        )
        for entry, target in zip(entries, targets, strict=True)
    ]
    taken = {source.resolve() for case in cases for source in case.sources}
    for path in (path for case in cases for path in case.files):
        if path.resolve() in taken:
            raise OptionError(f"{path} is an input; choose another place for the result")
    twice = _alike([path.name for case in cases for path in case.files])
    if twice:
        raise OptionError(f"several cases would write {', '.join(twice[:3])}; call one of them otherwise")
    return cases


def _alike(names: Sequence[str]) -> list[str]:
    """Names that are there more than once, on disks that do not tell large letters from small ones."""
    count = Counter(name.casefold() for name in names)
    return sorted({name for name in names if count[name.casefold()] > 1})


def _case_name(root: Path, source: Path, suffixes: Sequence[str]) -> str:
    """The path below ``root``, joined by _, a file's without its suffix."""
    if source == root:
        return source.resolve().name if _is_folder(source) else stem_of(source.name, suffixes)
    *folders, last = source.relative_to(root).parts
    return "_".join([*folders, last if _is_folder(source) else stem_of(last, suffixes)])


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no folder has a name that is too long to ask for
        return False


def _expand(
    path: Path, registry: Registry, *, aside: Path | None = None, seen: Sequence[Path] = ()
) -> list[Path]:
    """A file, or a folder that is one volume, as it is; else all that is readable in and below it.

    Left out are the results of a run before, and a link to a folder that is looked into in any case; a link
    that leads nowhere is a case, which is refused when it is read.

    Args:
        path: file or folder.
        registry: whose formats say what is readable.
        aside: where results go: not looked into if it is below and has a journal.
        seen: the folders, as the disk knows them, that are being looked into.
    """
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
    readable = [
        entry
        for entry in inside
        if (entry.is_file() or _leads_nowhere(entry)) and suffix_of(entry.name, suffixes)
    ]
    names = {entry.name.lower() for entry in readable}
    files = [entry for entry in readable if not names & _headers(entry.name.lower())]
    seen = [*seen, path.resolve()]
    folders = [
        entry
        for entry in inside
        if entry.is_dir()
        and not (aside and (entry / JOURNAL).exists() and entry.resolve() == aside.resolve())
        and not (entry.is_symlink() and _is_among(entry.resolve(), seen))
    ]
    return files + [case for folder in folders for case in _expand(folder, registry, aside=aside, seen=seen)]


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _is_among(folder: Path, seen: Sequence[Path]) -> bool:
    """Whether a folder is, is in, or holds one of those that are being looked into."""
    return any(folder.is_relative_to(other) or other.is_relative_to(folder) for other in seen)


def _headers(name: str) -> set[str]:
    """The names that the header of a NIfTI pair's .img may have: it names the case, and is read."""
    stem, is_image = re.subn(r"\.img(\.gz)?$", "", name)
    return {stem + ".hdr", stem + ".hdr.gz"} if is_image else set()

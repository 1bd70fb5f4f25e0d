"""Predictions and truths, matched by the names of their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import OptionError, ResourceError
from medseg.formats import is_one_volume, known_suffixes, stem_of, suffix_of
from medseg.registry import Registry


@dataclass(frozen=True, kw_only=True)
class PairOfFiles:
    """One case of one model.

    Args:
        case: its name, below the folder and without suffix.
        model: whose prediction it is; empty if there is only one.
        predicted: the prediction.
        truth: the truth.
    """

    case: str
    model: str
    predicted: Path
    truth: Path


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What has a partner, and the names of what has none."""

    pairs: tuple[PairOfFiles, ...]
    unmatched_predictions: tuple[str, ...] = ()
    unmatched_truths: tuple[str, ...] = ()


def match_files(
    predicted: Path, truth: Path, *, registry: Registry, model: str = "", strip: Sequence[str] = ()
) -> Matched:
    """Match a file with a file, or the files of a folder with those of another by name.

    Args:
        predicted: a file or a folder, subfolders included.
        truth: likewise.
        registry: whose formats say what is readable.
        model: whose predictions they are.
        strip: endings of names that do not count, such as ``_pred`` and ``_gt``.

    Raises:
        OptionError: one is a volume and the other a folder, two files have one name, or nothing matches.
    """
    one = [not path.is_dir() or is_one_volume(path, registry=registry) for path in (predicted, truth)]
    if all(one):
        case = _strip(stem_of(truth.name, known_suffixes(registry)), strip)
        return Matched(pairs=(PairOfFiles(case=case, model=model, predicted=predicted, truth=truth),))
    if any(one):
        volume, folder = (predicted, truth) if one[0] else (truth, predicted)
        raise OptionError(f"{volume} is one volume and {folder} a folder of some; name two of either")
    ours, theirs = (_by_name(folder, registry, strip) for folder in (predicted, truth))
    shared = [name for name in theirs if name in ours]
    if not shared:
        raise OptionError(
            f"no prediction has the name of a truth: {predicted} holds {_some(list(ours))}; {truth} holds "
            f"{_some(list(theirs))}. Endings that do not count can be left out: --strip _pred"
        )
    return Matched(
        pairs=tuple(
            PairOfFiles(case=name, model=model, predicted=ours[name], truth=theirs[name]) for name in shared
        ),
        unmatched_predictions=tuple(name for name in ours if name not in theirs),
        unmatched_truths=tuple(name for name in theirs if name not in ours),
    )


def _by_name(folder: Path, registry: Registry, strip: Sequence[str]) -> dict[str, Path]:
    suffixes = known_suffixes(registry)
    found: dict[str, Path] = {}
    for path in _volumes(folder, suffixes, registry):
        *above, last = path.relative_to(folder).parts
        stem = last if path.is_dir() else stem_of(last, suffixes)
        name = "_".join([*above, _strip(stem, strip)])
        if name in found:
            raise OptionError(f"{found[name]} and {path} are both the case {name}; keep one of them apart")
        found[name] = path
    return found


def _volumes(folder: Path, suffixes: Sequence[str], registry: Registry) -> list[Path]:
    """All that is readable in and below a folder: files by suffix, and folders that are one volume."""
    try:
        inside = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    except OSError as error:
        raise ResourceError(f"cannot look into {folder}: {error.strerror}; check its permissions") from error
    found = [entry for entry in inside if entry.is_file() and suffix_of(entry.name, suffixes)]
    # Of a pair of header and image, the header is read.
    headers = {stem_of(f.name, suffixes) for f in found if suffix_of(f.name, suffixes).startswith(".hdr")}
    found = [
        f
        for f in found
        if not (suffix_of(f.name, suffixes).startswith(".img") and stem_of(f.name, suffixes) in headers)
    ]
    for entry in inside:
        if entry.is_dir() and not entry.is_symlink():
            whole = is_one_volume(entry, registry=registry)
            found += [entry] if whole else _volumes(entry, suffixes, registry)
    return found


def _strip(name: str, endings: Sequence[str]) -> str:
    ending = next((e for e in endings if name.endswith(e) and name != e), "")
    return name.removesuffix(ending)


def _some(names: Sequence[str]) -> str:
    if not names:
        return "nothing readable"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

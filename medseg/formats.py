"""Read and write volumes in any format that a plugin offers.

The name's longest known suffix chooses the format; the content does only where the name says
nothing. A reader that refuses a file has the last word: no other reader is tried, because the
next one would guess what the first would not.
"""

import itertools
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg import isolation
from medseg.errors import AmbiguousNameError, OptionError, PluginError, VolumeError
from medseg.options import Option, check_options, options_of
from medseg.plugin import Content, Format
from medseg.registry import Registered, Registry, default_registry
from medseg.volume import Kind, Volume

_SNIFFED = 32  # files of a folder that are looked at: a report or a picture may stand before the slices


def load(
    path: str | Path,
    *,
    kind: Kind = "image",
    format: str | None = None,  # noqa: A002  # the word that people know; the built-in is not used here
    registry: Registry | None = None,
    **options: Any,
) -> Volume:
    """Read a volume, or refuse it with the reason.

    Args:
        path: a file, or a folder if a format reads folders.
        kind: ``image``, or ``labels`` for a label map.
        format: ``plugin:name`` or a short name; chosen by suffix, then by content, if None.
        registry: where to look formats up; what is installed, if None.
        **options: permissions of the format's reader, such as ``orientation="sform"``.

    Raises:
        VolumeError: the file is missing, of no known format, or refused.
        OptionError: the format has no such permission; those that it has are listed.
        AmbiguousNameError: two plugins read this suffix; say ``format=``.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from medseg.volume import Volume
        >>> head = Volume(np.zeros((4, 5, 6), np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(head, Path(folder, "head.nii.gz"))
        ...     load(Path(folder, "head.nii.gz"))
        <Volume image float32, 4 x 5 x 6 voxels of 2 x 2 x 3 mm, RAS>
    """
    path = Path(path)
    registry = registry or default_registry()
    try:
        _check_regular(path)
        found = registry.find("format", format) if format else _format_to_read(path, registry)
        isolate = _described(found).isolate and isolation.POSSIBLE
        if isolate:
            # It starts while the reader is imported here as well.
            isolation.prepare(_described(found).factory)
        read = registry.load(found)
        checked = check_options(read, options, owner=f"format {found.full_name}")
        volume: object
        if isolate:
            volume = isolation.read_isolated(_described(found).factory, path, kind=kind, options=checked)
        else:
            volume = read(path, kind=kind, **checked)
    except FileNotFoundError as error:
        raise VolumeError(f"{path.name}: no such file; looked in {path.parent.absolute()}") from error
    except OSError as error:
        raise VolumeError(
            f"{path.name} cannot be read: {error.strerror or error}; check its permissions and the disk"
        ) from error
    if not isinstance(volume, Volume) or volume.kind != kind:
        raise PluginError(
            f"the reader of format {found.full_name} returned {volume!r} for {path.name}; "
            f"it must return a medseg Volume of kind {kind!r}"
        )
    return volume


def save(
    volume: Volume,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002  # as in load
    registry: Registry | None = None,
    **options: Any,
) -> None:
    """Write a volume in the format that the name's suffix says.

    Args:
        volume: (I, J, K).
        path: replaced if it exists; the folder must exist.
        format: ``plugin:name`` or a short name; chosen by suffix if None.
        registry: where to look formats up; what is installed, if None.
        **options: of the format's writer.

    Raises:
        OptionError: the suffix is unknown, or its format cannot be written.
        VolumeError: the format cannot hold this volume.
        ResourceError: the disk refused; nothing was left behind.
    """
    path = Path(path)
    registry = registry or default_registry()
    found = registry.find("format", format) if format else _format_to_write(path, registry)
    write = registry.load_string(found, _writer(found, path, registry))
    write(volume, path, **check_options(write, options, owner=f"format {found.full_name}"))


def deidentify(
    source: str | Path, target: str | Path, *, registry: Registry | None = None, **options: Any
) -> tuple[str, ...]:
    """Write a copy without the patient's data, in the format of the source.

    Args:
        source: a file, or a folder if a format reads folders.
        target: what does not exist yet.
        registry: where to look formats up; what is installed, if None.
        **options: of the format.

    Returns:
        Sentences about what was written and left out.

    Raises:
        VolumeError: the source is refused; nothing was written.
        OptionError: the format does not do this, or the target exists.
        ResourceError: the disk refused; nothing was left behind.
    """
    path = Path(source)
    registry = registry or default_registry()
    found = _format_to_read(path, registry)
    function = _described(found).deidentify
    if not function:
        raise OptionError(
            f"{path.name}: the format {found.full_name} has no profile for this; medseg convert writes a "
            "copy with a fresh header, which holds voxels and geometry alone"
        )
    call = registry.load_string(found, function)
    return tuple(call(path, target, **check_options(call, options, owner=f"format {found.full_name}")))


def known_suffixes(registry: Registry) -> list[str]:
    """Every suffix of a format, the longest first."""
    suffixes = {s for found in registry.components("format") for s in _described(found).suffixes}
    return sorted(suffixes, key=len, reverse=True)


def check_writable(path: str | Path, *, registry: Registry | None = None) -> None:
    """Say before the work that ``save`` could not write under this name.

    Raises:
        OptionError: the suffix is unknown, or its format cannot be written.
    """
    _format_to_write(Path(path), registry or default_registry())


def reader_options(
    path: str | Path, given: Mapping[str, Any], *, registry: Registry | None = None
) -> dict[str, Any]:
    """Those of some permissions that the reader of this path knows."""
    registry = registry or default_registry()
    known = options_of(registry.load(_format_to_read(Path(path), registry)))
    return {name: value for name, value in given.items() if name in known}


def format_of(path: str | Path, *, registry: Registry | None = None) -> str:
    """The full name of the format that reads a file or folder, such as ``builtin:nifti``.

    Raises:
        VolumeError: none of the installed formats does, or several would.
    """
    return _format_to_read(Path(path), registry or default_registry()).full_name


def check_permissions(
    paths: Sequence[Path], given: Mapping[str, Any], *, registry: Registry | None = None
) -> None:
    """Refuse a permission that no reader of these paths knows.

    Raises:
        OptionError: the message lists what the readers know.
    """
    registry = registry or default_registry()
    known: dict[str, Option] = {}
    for path in paths:
        try:
            known |= options_of(registry.load(_format_to_read(path, registry)))
        except VolumeError:
            continue  # it is refused when it is read, and has its line then
    unknown = [name for name in given if name not in known]
    if unknown:
        offers = "; ".join(str(option) for option in known.values()) or "none"
        raise OptionError(f"--allow {unknown[0]}: no reader of these inputs has it. They take: {offers}")


def suffix_of(name: str, suffixes: Sequence[str]) -> str:
    """The longest of ``known_suffixes`` that a file name ends in, or nothing."""
    return next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")


def stem_of(name: str, suffixes: Sequence[str]) -> str:
    """A file name without its known suffix: ``head.nii.gz`` -> ``head``."""
    suffix = suffix_of(name, suffixes)
    return name[: -len(suffix)] if suffix else Path(name).stem


def is_one_volume(folder: Path, *, registry: Registry | None = None) -> bool:
    """Whether a folder is itself a volume: some of its files are slices of a format that has folders."""
    registry = registry or default_registry()
    sniffers = [
        registry.load_string(found, _described(found).sniff)
        for found in registry.components("format")
        if _described(found).folders
    ]
    files = itertools.islice((f for f in sorted(folder.iterdir()) if f.is_file()), _SNIFFED)
    return bool(sniffers) and any(sniff(file) for file in files for sniff in sniffers)


def list_contents(path: str | Path, *, registry: Registry | None = None) -> tuple[Content, ...]:
    """The volumes that a path holds, for formats that hold several; else nothing.

    Raises:
        VolumeError: the path is refused as a whole.
    """
    path = Path(path)
    registry = registry or default_registry()
    _check_regular(path)
    found = _format_to_read(path, registry)
    target = _described(found).contents
    if not target:
        return ()
    if _described(found).isolate and isolation.POSSIBLE:
        isolation.prepare(_described(found).factory)
        return isolation.list_isolated(target, path)
    return tuple(registry.load_string(found, target)(path))


def _check_regular(path: Path) -> None:
    """Refuse what never ends, or waits for somebody to write."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise VolumeError(f"{path.name} is a pipe, a socket or a device; wanted a file or a folder")


def _described(found: Registered) -> Format:
    assert isinstance(found.component, Format)  # the registry checked it; this tells mypy
    return found.component


def _format_to_read(path: Path, registry: Registry) -> Registered:
    by_suffix = None if path.is_dir() else _by_suffix(path, registry)
    if by_suffix:
        return by_suffix
    formats = registry.components("format")
    # The others are not even imported.
    able = [f for f in formats if _described(f).folders or not path.is_dir()]
    sniffers = [(f, _described(f).sniff) for f in able if _described(f).sniff]
    matches = [f for f, sniff in sniffers if registry.load_string(f, sniff)(path)]
    if matches:
        return _only(matches, f"the content of {path.name}")
    what = "a folder that no installed format reads" if path.is_dir() else "of no format that is installed"
    raise VolumeError(
        f"{path.name} is {what}. Installed: {_listed(formats)}. "
        "Others come as plugins: DICOM, for one, with pip install medseg-dicom"
    )


def _format_to_write(path: Path, registry: Registry) -> Registered:
    found = _by_suffix(path, registry)
    if found is None:
        advice = f"Formats that can be written: {_listed(_writable(registry))}"
        raise OptionError(f"{path.name or path}: no format is written under this suffix. {advice}")
    _writer(found, path, registry)
    return found


def _writer(found: Registered, path: Path, registry: Registry) -> str:
    """The import string of a format's writer."""
    if not _described(found).write:
        advice = f"Formats that can be written: {_listed(_writable(registry))}"
        raise OptionError(f"{path.name}: the format {found.full_name} can only be read. {advice}")
    return _described(found).write


def _writable(registry: Registry) -> list[Registered]:
    return [found for found in registry.components("format") if _described(found).write]


def _by_suffix(path: Path, registry: Registry) -> Registered | None:
    """The format with the longest suffix of this name."""
    name = path.name.lower()
    fitting = [
        (len(suffix), found)
        for found in registry.components("format")
        for suffix in _described(found).suffixes
        if name.endswith(suffix.lower())
    ]
    if not fitting:
        return None
    longest = max(length for length, _ in fitting)
    return _only([found for length, found in fitting if length == longest], f"the suffix of {path.name}")


def _only(matches: list[Registered], what: str) -> Registered:
    """The one match, an installed plugin's before the core's own."""
    installed = [found for found in matches if found.plugin != "builtin"] or matches
    if len(installed) > 1:
        names = ", ".join(found.full_name for found in installed)
        raise AmbiguousNameError(f"{what} fits several formats: {names}; say which with format=")
    return installed[0]


def _listed(formats: list[Registered]) -> str:
    return "; ".join(f"{f.full_name} ({', '.join(_described(f).suffixes)})" for f in formats) or "none"

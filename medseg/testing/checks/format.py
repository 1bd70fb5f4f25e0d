"""Promises of a file format: what is written is read back exactly, and damage is refused with a sentence."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from medseg.errors import VolumeError
from medseg.plugin import Format
from medseg.testing.expectation import BrokenPromiseError, expect
from medseg.testing.phantoms import make_phantom
from medseg.testing.subject import Subject
from medseg.volume import Affine, Kind, Volume

SHAPE = (9, 7, 5)
SPACING_MM = (0.8, 0.8, 2.5)
VALUES: tuple[tuple[Kind, type[np.generic]], ...] = (
    ("labels", np.uint8),
    ("labels", np.uint16),
    ("labels", np.int32),
    ("image", np.int16),
    ("image", np.uint16),
    ("image", np.float32),
)


def check_suffixes_are_endings(subject: Subject) -> None:
    """Each suffix is a file name ending in lower case that begins with a dot."""
    wrong = [s for s in _about(subject).suffixes if not s.startswith(".") or s != s.lower() or len(s) < 2]
    expect(
        not wrong,
        got=f"the suffixes {', '.join(map(repr, wrong))}",
        wanted='endings such as ".nii.gz"',
        remedy="Write them in lower case, with the dot",
    )


def check_what_is_written_is_read_back(subject: Subject) -> None:
    """Values come back exactly and voxels to a thousandth of a mm: flipped, anisotropic, oblique.

    For label maps and images of several types. A type that the format cannot hold is refused with a
    ``VolumeError``; at least one must be held. A format without ``write`` is only read.
    """
    if not _about(subject).write:
        return
    held = 0
    for kind, dtype in VALUES:
        for volume in _volumes(kind, dtype):
            with _folder() as folder:
                path = folder / f"volume{_suffix(subject)}"
                try:
                    _write(subject, volume, path)
                except VolumeError:
                    continue
                found = _read(subject, path, kind)
            held += 1
            _expect_same(found, volume)
    expect(
        held, got="a refusal of every volume", wanted="one that can be written", remedy="Leave write empty"
    )


def check_damage_is_refused(subject: Subject) -> None:
    """A file cut short, an empty one and one full of noise raise a ``VolumeError`` that names the file."""
    with _folder() as folder:
        noise = np.random.default_rng(0).bytes(2048)
        for name, content in (("noise", noise), ("empty", b"")):
            path = folder / f"{name}{_suffix(subject)}"
            path.write_bytes(content)
            _expect_refusal(subject, path, what=f"a file that is {name}")
        if _about(subject).write:
            path = folder / f"short{_suffix(subject)}"
            _write(subject, next(_writable(subject)), path)
            whole = path if path.is_file() else max(path.rglob("*"), key=lambda p: p.stat().st_size)
            whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
            _expect_refusal(subject, path, what="a file cut to half its length")


def check_sniffing_tells_files_apart(subject: Subject) -> None:
    """``sniff`` says True of a file that the format wrote and False of noise, whatever its name."""
    about = _about(subject)
    if not about.sniff:
        return
    sniff = subject.load(about.sniff)
    with _folder() as folder:
        noise = folder / "noise"
        noise.write_bytes(np.random.default_rng(0).bytes(2048))
        expect(
            sniff(noise) is False, got="not False for noise", wanted="False", remedy="Look for a magic number"
        )
        if about.write:
            path = folder / f"volume{_suffix(subject)}"
            _write(subject, next(_writable(subject)), path)
            expect(
                sniff(path) is True,
                got="not True for a file that it wrote itself",
                wanted="True",
                remedy="Look for what the writer puts at the beginning",
            )


def _about(subject: Subject) -> Format:
    return cast(Format, subject.component)


def _suffix(subject: Subject) -> str:
    return next(iter(_about(subject).suffixes), "")


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="medseg-check-") as folder:
        yield Path(folder)


def _write(subject: Subject, volume: Volume, path: Path) -> None:
    subject.load(_about(subject).write)(volume, path)


def _read(subject: Subject, path: Path, kind: Kind) -> Any:
    return subject.factory(path, kind=kind)


def _writable(subject: Subject) -> Iterator[Volume]:
    """Volumes that the format can hold."""
    for kind, dtype in VALUES:
        for volume in _volumes(kind, dtype):
            with _folder() as folder:
                try:
                    _write(subject, volume, folder / f"volume{_suffix(subject)}")
                except VolumeError:
                    continue
            yield volume


def _volumes(kind: Kind, dtype: type[np.generic]) -> Iterator[Volume]:
    """One phantom on three grids: straight, flipped and oblique."""
    image, labels = make_phantom(shape=SHAPE, spacing_mm=SPACING_MM, labels=2)
    if kind == "labels":
        largest = int(np.iinfo(cast(Any, dtype)).max)  # label numbers that need the whole type
        values = labels.array.astype(np.int64) * (largest // 2)
    else:
        values = image.array if dtype is np.float32 else image.array * 100 + 500
    for affine in (image.affine, _flipped(image.affine), _oblique(image.affine)):
        yield Volume(values.astype(dtype), affine, kind=kind)


def _flipped(affine: Affine) -> Affine:
    return affine @ np.diag([-1.0, -1.0, 1.0, 1.0])


def _oblique(affine: Affine) -> Affine:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turn = np.array([[cosine, -sine, 0, 12.5], [sine, cosine, 0, -40], [0, 0, 1, 7], [0, 0, 0, 1]])
    tilt = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
    return np.asarray(turn @ tilt @ affine)


def _expect_same(found: object, volume: Volume) -> None:
    what = f"{volume.kind} of {volume.array.dtype} on {volume.grid!r}"
    expect(
        isinstance(found, Volume) and found.kind == volume.kind,
        got=f"{found!r} for {what}",
        wanted=f"a Volume of kind {volume.kind}",
        remedy="Return medseg.volume.Volume(array, affine, kind=kind)",
    )
    assert isinstance(found, Volume)  # expected above; this tells mypy
    expect(
        found.grid.matches(volume.grid),
        got=f"{found.grid!r} with the affine {found.affine.round(4).tolist()} for {what}",
        wanted=f"the affine {volume.affine.round(4).tolist()}",
        remedy="Store voxel index to RAS+ mm without change; other conventions flip x and y",
    )
    expect(
        np.array_equal(found.array, volume.array),
        got=f"values from {found.array.min()} to {found.array.max()} for {what}",
        wanted=f"the values that were written, {volume.array.min()} to {volume.array.max()}, exactly",
        remedy="Keep the type, or refuse it with a VolumeError",
    )


def _expect_refusal(subject: Subject, path: Path, *, what: str) -> None:
    try:
        found = _read(subject, path, "image")
    except VolumeError as error:
        expect(
            path.name in str(error),
            got=f"for {what}, the message {str(error)!r}",
            wanted=f"one that names the file, {path.name}",
            remedy="Begin the message with the path",
        )
    except Exception as error:
        raise BrokenPromiseError(
            f"got, for {what}, {type(error).__name__}: {error}; wanted a medseg.errors.VolumeError that "
            "names the file. Catch what the library raises, and say what to do"
        ) from error
    else:
        expect(
            fulfilled=False, got=f"{found!r} for {what}", wanted="a VolumeError", remedy="Check the length"
        )

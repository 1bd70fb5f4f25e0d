"""NIfTI in and out: read what a file states, refuse what it leaves to guesswork.

Python keyword ``orientation="sform"`` and command line ``--allow orientation=sform`` are the same
permission; messages name the second form.
"""

import io
import math
from pathlib import Path
from typing import Literal

import numpy as np

from medseg.builtin.nifti_header import Header, check_pairing, check_size, find_pair, is_nifti, read_header
from medseg.builtin.nifti_placement import place, straighten
from medseg.builtin.nifti_stream import discard, fill, is_gzip, open_content
from medseg.builtin.nifti_write import write
from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.volume import Kind, Volume, Voxels

__all__ = ["read", "sniff", "write"]

_SLAB_VOXELS = 1 << 18  # scaled at once, so that no second volume of float64 is held


def read(
    path: str | Path,
    *,
    kind: Kind = "image",
    orientation: Literal["", "sform", "qform"] = "",
    assume_orientation: str = "",
    nonfinite: str = "",
    shear: Literal["", "resample"] = "",
    spacing: Literal["", "any"] = "",
    inflate: bool = False,
    volume: int = -1,
) -> Volume:
    """Read a NIfTI-1 or NIfTI-2 file, single or a pair, plain or gzipped.

    Stored integers stay as they are unless the header scales them: then an image is float32
    (from at most 16 bits) or float64, and labels are whole numbers again.

    Args:
        path: .nii, .hdr or .img, each perhaps with .gz; the content decides whether it is gzip.
        kind: ``image`` or ``labels``.
        orientation: which transform to believe if sform and qform disagree or one is broken.
        assume_orientation: axis codes, such as ``"LAS"``, for a file that states none.
        nonfinite: a number that replaces NaN and infinite voxels.
        shear: ``"resample"`` brings a sheared grid onto a straight one.
        spacing: ``"any"`` lets voxel sizes below 0.05 or above 20 mm pass.
        inflate: let a very small gzip file become a very large volume.
        volume: which one to read, from 0, of a file with several; -1 where it has one.

    Raises:
        VolumeError: the file is refused; the message begins with its name.
        OptionError: ``nonfinite`` or ``assume_orientation`` cannot be understood.
        ResourceError: not enough memory.
    """
    path = Path(path)
    try:
        header_path, voxel_path = find_pair(path)
        with open_content(header_path) as stream:
            header = read_header(stream, volume=volume)
            check_pairing(header, together=header_path == voxel_path)
            gzipped = is_gzip(voxel_path)
            check_size(header, file_bytes=voxel_path.stat().st_size, gzipped=gzipped, inflate=inflate)
            placement = place(
                header,
                orientation=orientation,
                assume_orientation=assume_orientation,
                any_shear=bool(shear),
                any_spacing=bool(spacing),
            )
            if header.paired:
                with open_content(voxel_path) as voxels:
                    array, rest_notes = _read_stored(voxels, header, skip=header.offset)
            else:
                array, rest_notes = _read_stored(stream, header, skip=header.offset - header.size)
        array, value_notes = _values(array, header, kind=kind, nonfinite=nonfinite)
        notes = (
            _name_notes(voxel_path, gzipped=gzipped)
            + header.notes
            + placement.notes
            + rest_notes
            + value_notes
        )
        read = Volume(array, placement.affine, kind, notes)
        return straighten(read) if placement.sheared else read
    except (VolumeError, OptionError, ResourceError) as error:
        raise type(error)(f"{path.name}: {error}") from error


def sniff(path: str | Path) -> bool:
    """Whether a file's content begins like NIfTI, plain or gzipped."""
    path = Path(path)
    if not path.is_file():
        return False
    try:
        with open_content(path) as stream:
            return is_nifti(stream)
    except VolumeError:
        return False  # gzip, but damaged from the beginning


def _read_stored(stream: io.RawIOBase, header: Header, *, skip: int) -> tuple[Voxels, tuple[str, ...]]:
    """The stored voxels (I, J, K), first index fastest, and the end of the stream checked."""
    if discard(stream, at_most=skip) < skip:
        raise VolumeError(f"the file ends before the voxels begin, at byte {header.offset:,}; it was cut")
    try:
        content = np.empty(header.voxel_bytes, np.uint8)
    except MemoryError as error:
        raise ResourceError(
            f"its voxels need {header.voxel_bytes / 2**30:.1f} GiB of memory; use a machine with more, or "
            "crop or downsample the volume"
        ) from error
    before = header.volume * header.voxel_bytes
    after = (header.volumes - header.volume - 1) * header.voxel_bytes
    found = discard(stream, at_most=before) + fill(stream, content.data) + discard(stream, at_most=after)
    wanted = header.volumes * header.voxel_bytes
    if found < wanted:
        raise VolumeError(
            f"the file is cut: {found:,} of {wanted:,} bytes of voxels; copy or download it again"
        )
    rest = discard(stream, at_most=header.voxel_bytes)
    if rest == header.voxel_bytes:  # or more: room for a second volume
        raise VolumeError(
            f"the header declares {wanted:,} bytes of voxels, and another volume or more follows: it "
            "does not describe all that the file holds. Save the volume that you need as a file of its own"
        )
    stored = content.view(header.dtype)
    if not header.dtype.isnative:
        stored = stored.byteswap(inplace=True).view(header.dtype.newbyteorder("="))
    notes = (f"{rest:,} bytes after the voxels were ignored.",) if rest else ()
    return stored.reshape(header.shape, order="F"), notes


def _values(array: Voxels, header: Header, *, kind: Kind, nonfinite: str) -> tuple[Voxels, tuple[str, ...]]:
    """Scaled, finite voxels, and what is remarkable about them."""
    as_stored = header.slope == 1 and header.intercept == 0
    if not as_stored:
        array = _scaled(array, header, kind)
    low, high = array.min(), array.max()
    notes: tuple[str, ...] = ()
    if array.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
        notes = _replace_nonfinite(array, nonfinite)
        low, high = array.min(), array.max()
    if low == high:
        notes += (f"Every voxel has the value {low:g}.",)
    if kind == "image" and as_stored and array.dtype == np.uint8 and (low, high) == (0, 255):
        notes += ("The values fill 0 to 255: if this is CT, they are display greys, not Hounsfield units.",)
    return array, notes


def _scaled(array: Voxels, header: Header, kind: Kind) -> Voxels:
    exact = array.dtype.itemsize > 2 and array.dtype != np.float32
    target = np.float64 if exact or kind == "labels" else np.float32
    scaled = np.empty(array.shape, target, order="F")
    flat, flat_scaled = array.reshape(-1, order="F"), scaled.reshape(-1, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # infinite results are counted afterwards
        for start in range(0, flat.size, _SLAB_VOXELS):
            slab = slice(start, start + _SLAB_VOXELS)
            flat_scaled[slab] = flat[slab].astype(np.float64) * header.slope + header.intercept
    return scaled


def _replace_nonfinite(array: Voxels, replacement: str) -> tuple[str, ...]:
    """Put the replacement where voxels are NaN or infinite, or refuse if there is none."""
    bad = ~np.isfinite(array)
    nans = int(np.isnan(array).sum())
    found = f"{nans:,} NaN and {int(bad.sum()) - nans:,} infinite voxels"
    if not replacement:
        raise VolumeError(
            f"it holds {found}; wanted numbers. To replace them all by 0, say, use --allow nonfinite=0"
        )
    try:
        with np.errstate(over="ignore"):
            value = float(array.dtype.type(replacement))  # 1e39 is infinite in float32
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise OptionError(
            f"--allow nonfinite={replacement}: wanted a number that is finite in "
            f"{array.dtype.name}, such as 0 or -1024"
        )
    array[bad] = value
    return (f"{found} were replaced by {value:g}.",)


def _name_notes(path: Path, *, gzipped: bool) -> tuple[str, ...]:
    if path.suffix.lower() == ".gz" and not gzipped:
        return ("The name ends in .gz, but the content is not gzip; it was read as it is.",)
    if path.suffix.lower() == ".nii" and gzipped:
        return ("The content is gzip although the name does not end in .gz; it was inflated.",)
    return ()

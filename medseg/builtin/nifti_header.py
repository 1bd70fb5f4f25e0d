"""The gate of the NIfTI reader: what a header must say before one voxel is read or allocated.

Reference: NIfTI-1 and NIfTI-2 header files, https://nifti.nimh.nih.gov.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, data_type_codes
from nibabel.nifti2 import Nifti2Header

from medseg.builtin.nifti_stream import LARGEST_EXPANSION, fill
from medseg.errors import VolumeError

_SIZES: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
_MAGIC_AT = {348: 344, 540: 4}
_LINE_ENDS = b"\r\n\x1a\n"  # of NIfTI-2's magic, as in that of PNG
_SINGLE = (b"n+1", b"n+2")
_PAIRED = (b"ni1", b"ni2")
_READABLE = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_BOMB_RATIO = 200
_BOMB_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header that passed the gate.

    Args:
        fields: nibabel's header, for the geometry.
        size: bytes of the header.
        shape: voxels along i, j, k.
        volume, volumes: which one is read, from 0, of how many that follow one another.
        dtype: stored type, with its byte order.
        offset: where the voxels begin, in bytes.
        paired: the voxels are in a file of their own.
        slope, intercept: value = stored * slope + intercept.
        notes: what had to be decided.
    """

    fields: Any
    size: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    paired: bool
    slope: float
    intercept: float
    notes: tuple[str, ...]
    volume: int = 0
    volumes: int = 1

    @property
    def voxel_bytes(self) -> int:
        """Bytes that the voxels of one volume take."""
        i, j, k = self.shape
        return i * j * k * self.dtype.itemsize


def find_pair(path: Path) -> tuple[Path, Path]:
    """The header file and the voxel file that belong to a path; the same file twice for .nii.

    Raises:
        VolumeError: a .hdr without its .img, or the other way round.
    """
    name = path.name
    plain = name[:-3] if name.lower().endswith(".gz") else name
    stem, suffix = plain[:-4], plain[-4:].lower()
    if suffix not in (".hdr", ".img"):
        return path, path
    other, gz = (".img" if suffix == ".hdr" else ".hdr"), ".gz"
    if plain[-4:].isupper():
        other, gz = other.upper(), gz.upper()
    ends = (gz, "") if plain != name else ("", gz)
    candidates = [path.with_name(stem + other + end) for end in ends]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise VolumeError(
            f"it is one half of a pair, and {candidates[0].name} is not beside it; put both into one folder"
        )
    return (path, found) if suffix == ".hdr" else (found, path)


def read_header(stream: io.RawIOBase, *, volume: int = -1) -> Header:
    """Read and check the header at the start of a stream; nothing behind it is read.

    Args:
        stream: at its beginning.
        volume: which one to read, from 0, of a file that may hold several; -1 where it must not.

    Raises:
        VolumeError: not NIfTI, or a field that leaves the voxels to guesswork.
    """
    start = _read_up_to(stream, 348)
    size, order = _recognise(start)
    start += _read_up_to(stream, size - len(start))
    if len(start) < size:
        raise VolumeError(f"the header is cut: {len(start)} of {size} bytes; copy or download the file again")
    fields = _SIZES[size](start, endianness=order, check=False)
    paired = _magic(start, size) in _PAIRED
    shape, volumes, notes = _shape(fields, volume)
    slope, intercept, scaling_notes = _scaling(fields)
    return Header(
        fields=fields,
        size=size,
        shape=shape,
        dtype=_dtype(fields, order),
        offset=_offset(fields, smallest=0 if paired else size + 4),
        paired=paired,
        slope=slope,
        intercept=intercept,
        notes=(*notes, *scaling_notes),
        volume=max(volume, 0),
        volumes=volumes,
    )


def is_nifti(stream: io.RawIOBase) -> bool:
    """Whether a stream begins like NIfTI; the header may still be refused."""
    start = _read_up_to(stream, 348)
    try:
        _recognise(start)
    except VolumeError:
        return False
    return True


def check_pairing(header: Header, *, together: bool) -> None:
    """Compare what the magic says with the files that there are.

    Args:
        header: passed the gate.
        together: header and voxels were looked for in one file.

    Raises:
        VolumeError: the file has the wrong name.
    """
    if together and header.paired:
        raise VolumeError(
            "its magic says that the voxels are in a file of their own; name this file .hdr and put its "
            ".img beside it"
        )
    if not together and not header.paired:
        raise VolumeError("its magic says that header and voxels are one file; name that file .nii")


def check_size(header: Header, *, file_bytes: int, gzipped: bool, inflate: bool) -> None:
    """Compare what the header declares with what the file can hold, before allocating.

    Args:
        header: declares the voxels.
        file_bytes: size of the file that holds the voxels.
        gzipped: that file is gzipped.
        inflate: the user allows a suspiciously small file to inflate.

    Raises:
        VolumeError: the file is too short, or looks like a decompression bomb.
    """
    wanted = header.offset + header.volumes * header.voxel_bytes
    size = " x ".join(map(str, (*header.shape, header.volumes)[: 3 + (header.volumes > 1)]))
    declares = f"the header declares {size} voxels of {header.dtype.name}"
    if not gzipped and file_bytes < wanted:
        raise VolumeError(
            f"{declares}, which end at byte {wanted:,}; the file has {file_bytes:,} bytes. It was cut or its "
            "header is wrong: copy or download it again"
        )
    if gzipped and wanted > file_bytes * LARGEST_EXPANSION:
        raise VolumeError(
            f"{declares}, {wanted:,} bytes; {file_bytes:,} bytes of gzip cannot hold more than "
            f"{file_bytes * LARGEST_EXPANSION:,}. It was cut or its header is wrong: copy it again"
        )
    if gzipped and wanted > _BOMB_BYTES and wanted > _BOMB_RATIO * file_bytes and not inflate:
        raise VolumeError(
            f"{declares}, {wanted / 2**30:.2f} GiB, from {file_bytes / 2**20:.2f} MiB of gzip; more than "
            f"{_BOMB_RATIO} times its size and more than 1 GiB looks like a decompression bomb. "
            "If you trust it, use --allow inflate=yes"
        )


def _read_up_to(stream: io.RawIOBase, count: int) -> bytes:
    buffer = bytearray(count)
    return bytes(buffer[: fill(stream, memoryview(buffer))])


def _magic(start: bytes, size: int) -> bytes:
    return start[_MAGIC_AT[size] : _MAGIC_AT[size] + 3]


def _recognise(start: bytes) -> tuple[int, str]:
    """Header size and byte order, ``<`` or ``>``."""
    for order in "<>":
        size = struct.unpack(order + "i", start[:4])[0] if len(start) >= 4 else 0
        if size not in _SIZES:
            continue
        if _magic(start, size) in _SINGLE + _PAIRED:
            if size == 540 and start[8:12] != _LINE_ENDS:
                raise VolumeError(
                    "the line ends in its magic were changed, as by a transfer as text, and the voxels may "
                    "be as well; copy or download it again, as binary"
                )
            return size, order
        if size == 348 and len(start) >= 348:
            raise VolumeError(
                "this is Analyze 7.5 (no NIfTI magic), a format that does not say which side is left; "
                "convert it with a tool that knows how it was made, or use the original"
            )
    raise VolumeError(f"this is not NIfTI: {_describe(start)}; use the original file")


def _describe(start: bytes) -> str:
    if not start:
        return "the file is empty (0 bytes)"
    if start.lstrip().startswith(b"<"):
        return "it begins like a web page (HTML or XML), perhaps an error page of the download"
    if start[128:132] == b"DICM":
        return "it is a DICOM file"
    if start.startswith(b"PK"):
        return "it is a zip archive"
    return f"a header begins with its size, 348 or 540; found the bytes {start[:4].hex(' ')}"


def _shape(fields: Any, volume: int) -> tuple[tuple[int, int, int], int, tuple[str, ...]]:
    """Voxels of a volume, how many volumes there are, and notes."""
    dim = [int(n) for n in fields["dim"]]
    if not 1 <= dim[0] <= 7:
        raise VolumeError(f"dim[0] (number of axes) is {dim[0]}; wanted 3. The header is damaged")
    shape = dim[1 : 1 + dim[0]]
    text = " x ".join(map(str, shape))
    if min(shape) < 1:
        raise VolumeError(f"dim is {text}; every size must be at least 1. The header is damaged")
    if len(shape) < 3:
        raise VolumeError(f"this is a {len(shape)}-D image ({text}); wanted a volume with three axes")
    several, *beyond = (*shape[3:], 1)
    one = "Save the one that you need as a file of its own"
    if max(beyond, default=1) > 1 or (several > 1 and volume < 0):
        remedy = f"To read one of the {several}, use --allow volume=0 to volume={several - 1}"
        raise VolumeError(
            f"this has {len(shape)} axes ({text}): several volumes, time points or vectors; wanted three "
            f"axes. {one if max(beyond, default=1) > 1 else remedy}"
        )
    if volume >= several:
        raise VolumeError(f"volume {volume} was asked for; there are {several}, numbered from 0 ({text})")
    notes: tuple[str, ...] = ()
    if several > 1:
        notes = (f"volume {volume} of {several} ({text}), numbered from 0, was read.",)
    elif len(shape) > 3:
        notes = (f"{len(shape)} axes ({text}) were read as three: the others have size 1.",)
    return (shape[0], shape[1], shape[2]), several, notes


def _dtype(fields: Any, order: str) -> np.dtype[Any]:
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    if code not in _READABLE:
        known = code in data_type_codes.code
        name = data_type_codes.label[code] if known else "unknown"
        raise VolumeError(
            f"datatype is {code} ({name}); wanted real numbers of one channel: integers of 8 to 64 bits, "
            "float32 or float64. Convert it to one of those"
        )
    dtype = np.dtype(order + _READABLE[code])
    if bits != dtype.itemsize * 8:
        raise VolumeError(
            f"datatype is {dtype.name}, but bitpix is {bits}; wanted {dtype.itemsize * 8}. "
            "The header is damaged: use the original file"
        )
    return dtype


def _offset(fields: Any, *, smallest: int) -> int:
    offset = float(fields["vox_offset"])
    if not (np.isfinite(offset) and offset >= smallest and offset == int(offset)):
        raise VolumeError(
            f"vox_offset (where the voxels begin) is {offset:g}; wanted a whole number of at least "
            f"{smallest}, or the header would be read as voxels. Write the file again from its source"
        )
    return int(offset)


def _scaling(fields: Any) -> tuple[float, float, tuple[str, ...]]:
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0, (f"scl_slope is {slope:g}, which means no scaling: stored values are used.",)
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise VolumeError(
            f"scl_slope is {slope:g} and scl_inter {intercept:g}; wanted finite numbers. "
            "The values cannot be known: use the original file"
        )
    return slope, intercept, ()

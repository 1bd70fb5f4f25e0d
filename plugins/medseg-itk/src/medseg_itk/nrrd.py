"""The gate of NRRD: what its header must say before ITK sees the file.

Reference: https://teem.sourceforge.net/nrrd/format.html.
"""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medseg.errors import VolumeError
from medseg_itk.header import (
    Encoding,
    Header,
    Triple,
    byte_order,
    find_data,
    next_line,
    parse_numbers,
    parse_shape,
    parse_triple,
)

_MAGIC = re.compile(r"NRRD000[1-5]")
TYPES = {
    "signed char|int8|int8_t": "i1",
    "uchar|unsigned char|uint8|uint8_t": "u1",
    "short|short int|signed short|signed short int|int16|int16_t": "i2",
    "ushort|unsigned short|unsigned short int|uint16|uint16_t": "u2",
    "int|signed int|int32|int32_t": "i4",
    "uint|unsigned int|uint32|uint32_t": "u4",
    "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t": "i8",
    "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t": "u8",
    "float": "f4",
    "double": "f8",
}
_TYPES = {name: dtype for names, dtype in TYPES.items() for name in names.split("|")}
_ENCODINGS: dict[str, Encoding] = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
# Signs that take the axes of each space to LPS.
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_NAMES = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
# Fields that say nothing about where a voxel is or what it holds.
_HARMLESS = (
    "content", "number", "sample units", "sampleunits", "min", "max", "old min", "oldmin", "old max",
    "oldmax", "thicknesses", "axis mins", "axismins", "axis maxs", "axismaxs", "centers", "centerings",
    "labels", "measurement frame",
)  # fmt: skip
_USED = (
    "dimension", "type", "sizes", "endian", "encoding", "space", "space dimension", "space directions",
    "space origin", "space units", "spacings", "units", "kinds", "data file", "line skip", "byte skip",
)  # fmt: skip
_DOMAIN = ("domain", "space")


def sniff(path: str | Path) -> bool:
    """Whether a file begins with the magic of NRRD."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(7) == b"NRRD000"


def read_header(path: Path) -> Header:
    """Read and check the header of a .nrrd or .nhdr file; nothing of its voxels is read.

    Raises:
        VolumeError: not NRRD, or a field that leaves the voxels to guesswork.
    """
    with path.open("rb") as file:
        fields, ended = _fields(file)
        end = file.tell()
    _check_fields(fields)
    place = fields.get("data file")
    if place is None and not ended:
        raise VolumeError("the header has no end and names no data file; it was cut. Copy the file again")
    encoding = _ENCODINGS.get(_required(fields, "encoding").lower())
    if encoding is None:
        raise VolumeError("encoding is neither raw nor gzip; save the file with one of those")
    axes, spacing = _axes(fields)
    origin = fields.get("space origin")
    signs = _signs(fields)
    return Header(
        shape=parse_shape("sizes", _required(fields, "sizes")),
        dtype=_dtype(fields),
        axes_lps=axes,
        origin_lps=_vector("space origin", origin, signs) if origin and signs else None,
        spacing_mm=spacing,
        data=path if place is None else find_data(path, place),
        offset=end if place is None else 0,
        encoding=encoding,
    )


def _fields(file: BinaryIO) -> tuple[dict[str, str], bool]:
    """The lines ``field: value`` up to the empty line, and whether there was one."""
    if not _MAGIC.fullmatch(next_line(file) or ""):
        raise VolumeError(
            "this is not NRRD: the first line is not NRRD0001 to NRRD0005; use the original file"
        )
    fields: dict[str, str] = {}
    while (line := next_line(file)) is not None:
        if not line:
            return fields, True
        if line.startswith("#"):
            continue
        name, separator, value = line.partition(": ")
        if ":=" in line and (not separator or line.index(":=") < len(name)):
            continue  # a key and a value of some program's own
        name = _NAMES.get(name.lower(), name.lower())
        if not separator or name not in _USED + _HARMLESS:
            raise VolumeError(
                "the header holds a line that is no field of NRRD; it is damaged or of another version. "
                "Use the original file"
            )
        if name in fields:
            raise VolumeError(f"the field {name!r} is stated twice; wanted once. Write the file again")
        fields[name] = value.strip()
    return fields, False


def _check_fields(fields: dict[str, str]) -> None:
    dimension = _required(fields, "dimension")
    if dimension != "3":
        found = dimension if dimension.isdecimal() and len(dimension) < 4 else "not a number"
        raise VolumeError(
            f"dimension is {found}; wanted 3: no time points, vectors or colours. Save the volume that you "
            "need as a file of its own"
        )
    kinds = fields.get("kinds")
    if kinds is not None and any(kind.lower() not in _DOMAIN for kind in kinds.split()):
        raise VolumeError(
            "kinds names an axis that is not of space, such as a vector or a list; wanted three of space. "
            "Save the volume that you need as a file of its own"
        )
    for skip in ("line skip", "byte skip"):
        if fields.get(skip, "0") != "0":
            raise VolumeError(f"{skip} is not 0; wanted voxels that begin where the header says nothing more")
    for units in ("space units", "units"):
        if any(unit not in ("mm", "") for unit in re.findall(r'"([^"]*)"', fields.get(units, ""))):
            raise VolumeError(f"{units} is not mm along every axis; wanted mm. Convert it and save it again")


def _dtype(fields: dict[str, str]) -> np.dtype[np.generic]:
    dtype = _TYPES.get(_required(fields, "type").lower())
    if dtype is None:
        raise VolumeError(
            "type is not one of integers of 8 to 64 bits, float and double; convert it to one of those"
        )
    endian = fields.get("endian")
    if endian not in (None, "little", "big"):
        raise VolumeError("endian is neither little nor big; the header is damaged. Use the original file")
    return byte_order("endian", dtype, big=None if endian is None else endian == "big")


def _signs(fields: dict[str, str]) -> Triple | None:
    """Of the anatomical space that is stated; None if none of those is."""
    return _SPACES.get(fields.get("space", "").lower())


def _axes(fields: dict[str, str]) -> tuple[tuple[Triple, Triple, Triple] | None, Triple]:
    """Unit vectors in LPS, if they are known, and spacing in mm."""
    if "space directions" not in fields:
        return None, parse_triple("spacings", _required(fields, "spacings"))
    if "spacings" in fields:
        raise VolumeError("spacings and space directions are both stated; wanted one. Write the file again")
    texts = re.findall(r"\([^()]*\)", fields["space directions"])
    if len(texts) != 3 or re.sub(r"\([^()]*\)", "", fields["space directions"]).strip():
        raise VolumeError(
            "space directions must hold three vectors, such as (1,0,0) (0,1,0) (0,0,3); the header is "
            "damaged or has an axis that is not of space"
        )
    signs = _signs(fields)
    vectors = np.array([_vector("space directions", text, signs or (1, 1, 1)) for text in texts])
    lengths = np.linalg.norm(vectors, axis=1)
    i, j, k = lengths.tolist()
    if signs is None or not lengths.all():
        return None, (i, j, k)
    a, b, c = (vectors / lengths[:, None]).tolist()
    return (tuple(a), tuple(b), tuple(c)), (i, j, k)


def _vector(field: str, text: str, signs: Triple) -> Triple:
    if not (text.startswith("(") and text.endswith(")")):
        raise VolumeError(f"{field} must hold vectors, such as (1,0,0); the header is damaged")
    x, y, z = parse_numbers(field, text[1:-1].replace(",", " "), 3)
    return x * signs[0], y * signs[1], z * signs[2]


def _required(fields: dict[str, str], field: str) -> str:
    if field not in fields:
        raise VolumeError(
            f"the field {field!r} is missing, and no default would be safe; write the file again from its "
            "source"
        )
    return fields[field]

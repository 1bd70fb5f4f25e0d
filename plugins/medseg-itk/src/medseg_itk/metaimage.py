"""The gate of MetaImage: what its header must say before ITK sees the file.

MetaIO takes a default for whatever is missing, and fills what the file does not hold with zeros. Here
every field that places or types a voxel must be there.

Reference: https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from pathlib import Path
from typing import BinaryIO

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

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# Fields that have a second name; both at once would leave open which one counts.
_NAMES = {
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
    "Position": "Offset",
    "Origin": "Offset",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
}
# What changes the voxels in a way that readers differ about, and the one value that changes nothing.
_NEUTRAL = {
    "HeaderSize": ("0",),
    "DistanceUnits": ("mm", "?"),
    "ElementNumberOfChannels": ("1",),
    "ElementToIntensityFunctionSlope": ("1",),
    "ElementToIntensityFunctionOffset": ("0",),
}
_USED = frozenset(
    (
        "ObjectType",
        "NDims",
        "DimSize",
        "ElementType",
        "ElementSpacing",
        "TransformMatrix",
        "Offset",
        "BinaryData",
        "BinaryDataByteOrderMSB",
        "CompressedData",
        "CompressedDataSize",
        "ElementDataFile",
    )
)
_TRUTH = {"True": True, "False": False}


def sniff(path: str | Path) -> bool:
    """Whether a file begins like a MetaImage header."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(64)
    return start.startswith((b"ObjectType", b"NDims")) and b"=" in start


def read_header(path: Path) -> Header:
    """Read and check the header of a .mha or .mhd file; nothing of its voxels is read.

    Raises:
        VolumeError: not MetaImage, or a field that leaves the voxels to guesswork.
    """
    with path.open("rb") as file:
        fields = _fields(file)
        end = file.tell()
    _check_fields(fields)
    type_name = _required(fields, "ElementType")
    if type_name not in TYPES:
        raise VolumeError(
            f"ElementType is none of {', '.join(TYPES)}; wanted real numbers of one channel and of a size "
            "that is the same on every machine. Convert it to one of those"
        )
    big = _truth(fields, "BinaryDataByteOrderMSB") if "BinaryDataByteOrderMSB" in fields else None
    place = _required(fields, "ElementDataFile")
    local = place in ("LOCAL", "Local", "local")
    if not local and place.split()[:1] == ["LIST"]:
        raise VolumeError("ElementDataFile is a LIST of files; wanted one. Save the volume as one .mha file")
    compressed = "CompressedData" in fields and _truth(fields, "CompressedData")
    encoding: Encoding = "zlib" if compressed else "raw"
    size = fields.get("CompressedDataSize")
    offset = fields.get("Offset")
    return Header(
        shape=parse_shape("DimSize", _required(fields, "DimSize")),
        dtype=byte_order("BinaryDataByteOrderMSB", TYPES[type_name], big=big),
        axes_lps=_axes(fields),
        origin_lps=parse_triple("Offset", offset) if offset is not None else None,
        spacing_mm=parse_triple("ElementSpacing", _required(fields, "ElementSpacing")),
        data=path if local else find_data(path, place),
        offset=end if local else 0,
        encoding=encoding,
        encoded_bytes=_count(size) if size is not None and compressed else None,
    )


def _count(text: str) -> int:
    """A number of bytes."""
    if not text.isdecimal() or len(text) > 15:
        raise VolumeError("CompressedDataSize must be a number of bytes; the header is damaged")
    return int(text)


def _fields(file: BinaryIO) -> dict[str, str]:
    """The lines ``Key = Value`` up to and with ElementDataFile, which is always the last."""
    fields: dict[str, str] = {}
    while (line := next_line(file)) is not None:
        key, equals, value = line.partition("=")
        key = key.strip()
        name = _NAMES.get(key, key)
        if not equals or not key or "\0" in line:
            raise VolumeError(
                "this is not MetaImage: a line before ElementDataFile is not of the form 'Key = Value'; "
                "use the original file"
            )
        if name in fields and (name in _USED or name in _NEUTRAL):
            raise VolumeError(f"{name} is stated twice; wanted once. Write the file again from its source")
        fields[name] = value.strip()
        if name == "ElementDataFile":
            return fields
    raise VolumeError("the header has no ElementDataFile: the file is empty, cut, or not MetaImage")


def _check_fields(fields: dict[str, str]) -> None:
    if fields.get("ObjectType", "Image") != "Image":
        raise VolumeError("ObjectType is not Image; wanted an image, not points, meshes or transforms")
    axes = _required(fields, "NDims")
    if axes != "3":
        found = axes if axes.isdecimal() and len(axes) < 4 else "not a number"
        raise VolumeError(f"NDims is {found}; wanted 3. Save the volume that you need as a file of its own")
    if _required(fields, "BinaryData") != "True":
        raise VolumeError("BinaryData is not True: the voxels are text. Save them as binary")
    for field, neutral in _NEUTRAL.items():
        if field in fields and fields[field] not in neutral:
            raise VolumeError(
                f"{field} is not {neutral[0]}, and programs differ in what they make of that; wanted one "
                "channel of plain values in mm, right after the header. Save it again as .mha"
            )


def _axes(fields: dict[str, str]) -> tuple[Triple, Triple, Triple] | None:
    """Row n of the matrix is the direction of axis n."""
    if "TransformMatrix" not in fields:
        return None
    numbers = parse_numbers("TransformMatrix", fields["TransformMatrix"], 9)
    a, b, c, d, e, f, g, h, i = numbers
    return (a, b, c), (d, e, f), (g, h, i)


def _truth(fields: dict[str, str], field: str) -> bool:
    if fields[field] not in _TRUTH:
        raise VolumeError(f"{field} is neither True nor False; the header is damaged. Use the original file")
    return _TRUTH[fields[field]]


def _required(fields: dict[str, str], field: str) -> str:
    if field not in fields:
        raise VolumeError(
            f"{field} is missing, and no default would be safe; write the file again from its source"
        )
    return fields[field]

"""MetaImage and NRRD out: geometry and voxels alone, the same bytes for the same volume, read back.

Written here and not by ITK, which carries a metadata dictionary along and does not notice a full disk.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medseg.atomic import write_whole
from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.volume import Volume, Voxels, smallest_integer_type
from medseg_itk.metaimage import TYPES
from medseg_itk.placement import LPS_TO_RAS
from medseg_itk.reader import read_metaimage, read_nrrd

_GZIP = 31
_LEVEL = 4  # as for NIfTI: higher levels take longer for a few per cent
_METAIMAGE = {dtype: name for name, dtype in TYPES.items()}


def write_metaimage(volume: Volume, path: str | Path) -> None:
    """Write a volume as a compressed .mha.

    Labels get the smallest integer type that holds them; images keep theirs (bool becomes uint8,
    float16 float32).

    Args:
        volume: (I, J, K).
        path: the name, replaced in one step if it exists.

    Raises:
        OptionError: another suffix.
        VolumeError: the axes are not perpendicular, or the type has no place in the format.
        ResourceError: the disk refused, or did not give back what was written.
    """
    path = _checked_name(path, ".mha", "MetaImage")
    array, axes, origin = _parts(volume, path.name)
    data = zlib.compress(_stored_bytes(array), _LEVEL)
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(data)),
        "TransformMatrix": _numbers(axes.T),  # an axis a row
        "Offset": _numbers(origin),
        "ElementSpacing": _numbers(volume.spacing_mm),
        "DimSize": " ".join(map(str, volume.shape)),
        "ElementType": _METAIMAGE[array.dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    head = "".join(f"{key} = {value}\n" for key, value in fields.items())
    _store(head.encode() + data, path, volume, array, read_metaimage)


def write_nrrd(volume: Volume, path: str | Path) -> None:
    """Write a volume as a gzipped .nrrd, in LPS as 3D Slicer does; the rest as ``write_metaimage``."""
    path = _checked_name(path, ".nrrd", "NRRD")
    array, axes, origin = _parts(volume, path.name)
    vectors = (f"({_numbers(axis, ',')})" for axis in (axes * volume.spacing_mm).T)
    fields = {
        "type": {"f4": "float", "f8": "double"}.get(array.dtype.str[1:], array.dtype.name),
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, volume.shape)),
        "space directions": " ".join(vectors),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip",
        "space units": '"mm" "mm" "mm"',
        "space origin": f"({_numbers(origin, ',')})",
    }
    head = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in fields.items()) + "\n"
    deflater = zlib.compressobj(_LEVEL, wbits=_GZIP)  # without time and name, unlike a gzip file
    data = deflater.compress(_stored_bytes(array)) + deflater.flush()
    _store(head.encode() + data, path, volume, array, read_nrrd)


def _checked_name(path: str | Path, suffix: str, name: str) -> Path:
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise OptionError(f"{path.name}: {name} is written as one file; name it {suffix}")
    return path


def _parts(volume: Volume, name: str) -> tuple[Voxels, Voxels, Voxels]:
    """Voxels in a little-endian type that the formats have, unit axes (3, 3) and origin (3,) in LPS."""
    array = volume.array
    if volume.kind == "labels":
        dtype: Any = smallest_integer_type(int(array.max()))
    elif array.dtype.itemsize > 8:
        raise VolumeError(f"{name}: {array.dtype} cannot be written; convert it with array.astype('float64')")
    else:
        dtype = {"bool": np.uint8, "float16": np.float32}.get(array.dtype.name, array.dtype)
    lps = LPS_TO_RAS @ volume.affine
    axes = lps[:3, :3] / volume.spacing_mm
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise VolumeError(
            f"{name}: the axes are not perpendicular, which this format cannot hold; use .nii.gz"
        )
    return array.astype(np.dtype(dtype).newbyteorder("<"), copy=False), axes, lps[:3, 3]


def _stored_bytes(array: Voxels) -> bytes:
    return array.tobytes(order="F")


def _numbers(values: "np.typing.ArrayLike", separator: str = " ") -> str:
    """Each in the fewest digits that give it back exactly; -0 as 0."""
    return separator.join(repr(float(value) + 0.0) for value in np.asarray(values).ravel())


def _store(content: bytes, path: Path, volume: Volume, array: Voxels, read: Callable[..., Volume]) -> None:
    def write(part: Path) -> None:
        part.write_bytes(content)

    def verify(part: Path) -> None:
        try:
            # Voxel size and NaN are the caller's own; the rest must come back as it went.
            back = read(part, spacing="any", inflate=True, nonfinite="0")
        except VolumeError as error:
            raise _other_bytes(path) from error
        same = back.array.dtype == array.dtype.newbyteorder("=") and back.grid.matches(volume.grid)
        if not same or not np.array_equal(back.array, _finite(array)):
            raise _other_bytes(path)

    write_whole(path, write, verify=verify)


def _finite(array: Voxels) -> Voxels:
    return np.where(np.isfinite(array), array, 0) if array.dtype.kind == "f" else array


def _other_bytes(path: Path) -> ResourceError:
    return ResourceError(
        f"cannot write {path.name}: the disk gave back other bytes than were written; choose another disk. "
        "Nothing was left behind"
    )

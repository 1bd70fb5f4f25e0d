"""Labels from the browser to the disk, without holding them in memory and without believing a header.

The body is gzip around one byte for each voxel, in the order of the image's own file; grid and
affine are the server's.
"""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Header

from medseg import VolumeError

_CHUNK_BYTES = 1 << 22
_UNKNOWN = -1


def write_mask(sent: Path, target: Path, *, like: Path, entries: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Write a label map, ``.nii.gz``, from what a browser sent.

    Args:
        sent: the body.
        target: replaced if it exists, and only by a whole file.
        like: the image whose grid it is on, ``.nii``.
        entries: the labels that may occur: ``index`` is the byte, ``value`` the label.

    Returns:
        Voxels of each byte.

    Raises:
        VolumeError: not gzip, too many or too few voxels, or a byte that is no label.
    """
    image: Any = nibabel.load(like)
    voxels = int(np.prod(image.shape))
    values = np.full(256, _UNKNOWN, np.int64)
    values[0] = 0
    for entry in entries:
        values[entry["index"]] = entry["value"]
    kind = next(k for k in (np.uint8, np.uint16, np.int32) if values.max() <= np.iinfo(k).max)
    part = target.with_name(".part-" + target.name)
    counts = np.zeros(256, np.int64)
    try:
        with gzip.open(part, "wb", compresslevel=3) as out:
            out.write(map_header(image, kind))
            for chunk in _inflate(sent, limit=voxels):
                labels = np.frombuffer(chunk, np.uint8)
                counts += np.bincount(labels, minlength=256)
                mapped = values[labels]
                if (mapped == _UNKNOWN).any():
                    wrong = int(labels[mapped == _UNKNOWN][0])
                    raise VolumeError(f"the drawing holds {wrong}, which is none of this result's labels")
                out.write(mapped.astype(kind).tobytes())
        if counts.sum() != voxels:
            raise VolumeError(f"the drawing has {counts.sum()} voxels; the image has {voxels}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return {int(index): int(count) for index, count in enumerate(counts)}


def map_header(image: Any, kind: Any, *, slope: float = 1.0) -> bytes:
    """A NIfTI-1 header for labels or a map on the grid of an image, with nothing else of it."""
    fresh: Any = Nifti1Header()  # type: ignore[no-untyped-call]  # nibabel ships no types for it
    fresh.set_data_shape(image.shape)
    fresh.set_data_dtype(kind)
    fresh.set_sform(image.header.get_sform(), code=2)
    fresh.set_qform(image.header.get_qform(), code=int(image.header["qform_code"]))
    fresh.set_xyzt_units("mm")
    fresh.set_slope_inter(slope, 0.0)
    fresh["vox_offset"] = 352
    fresh["magic"] = b"n+1"
    return bytes(fresh.binaryblock) + bytes(4)


def _inflate(path: Path, *, limit: int) -> Any:
    """The bytes of a gzip file in pieces; a bomb ends where the image is full."""
    inflater = zlib.decompressobj(wbits=31)
    given = 0
    with path.open("rb") as file:
        pending = b""
        while True:
            pending = pending or file.read(_CHUNK_BYTES)
            if not pending:
                break
            try:
                chunk = inflater.decompress(pending, _CHUNK_BYTES)
            except zlib.error as error:
                raise VolumeError(f"the drawing arrived damaged ({error}); save it again") from error
            pending = inflater.unconsumed_tail
            given += len(chunk)
            if given > limit:
                raise VolumeError(f"the drawing has more voxels than the image, which has {limit}")
            yield chunk
            if inflater.eof:
                return
    raise VolumeError("the drawing arrived cut off; save it again")

"""The bytes of the voxels, looked at to the very end before ITK decodes them.

ITK fills what a file does not hold with zeros or with whatever was in memory, and says nothing.
"""

import zlib
from typing import BinaryIO

from medseg.errors import VolumeError
from medseg_itk.header import Encoding, Header

_WBITS: dict[Encoding, int] = {
    "zlib": 15,
    "gzip": 31,
}  # zlib's names for the two wrappers, both with checksums
_LARGEST_EXPANSION = 1032  # deflate codes at most 258 bytes in 2 bits
_BOMB_RATIO = 200
_BOMB_BYTES = 1 << 30
_ENCODED_BYTES = 1 << 16  # read at once
_INFLATED_BYTES = 1 << 20  # inflated at once, at most


def check_content(header: Header, *, inflate: bool) -> None:
    """Compare what the header declares with the bytes that are there, and read compressed ones through.

    Args:
        header: passed the gate.
        inflate: the user allows a suspiciously small file to inflate.

    Raises:
        VolumeError: too few bytes or too many, a damaged stream, or what looks like a bomb.
    """
    held = header.data.stat().st_size - header.offset
    wanted = header.voxel_bytes
    size = " x ".join(map(str, header.shape))
    declares = f"the header declares {size} voxels of {header.dtype.name}, {wanted:,} bytes"
    if header.encoding == "raw":
        if held != wanted:
            raise VolumeError(
                f"{declares}; the file holds {held:,}. It was cut or its header is wrong: copy it again"
            )
        return
    if header.encoded_bytes not in (None, held):
        raise VolumeError(
            f"CompressedDataSize is {header.encoded_bytes:,} bytes; the file holds {held:,}. It was cut or "
            "its header is wrong: copy it again"
        )
    if wanted > held * _LARGEST_EXPANSION:
        raise VolumeError(
            f"{declares}; {held:,} compressed bytes cannot hold that. It was cut or its header is wrong: "
            "copy it again"
        )
    if wanted > _BOMB_BYTES and wanted > _BOMB_RATIO * held and not inflate:
        raise VolumeError(
            f"{declares}, from {held:,}; more than {_BOMB_RATIO} times its size and more than 1 GiB looks "
            "like a decompression bomb. If you trust it, use --allow inflate=yes"
        )
    with header.data.open("rb") as file:
        file.seek(header.offset)
        found = _inflated_bytes(file, header.encoding, at_most=wanted)
    if found != wanted:
        more = "more than that" if found > wanted else f"{found:,}"
        raise VolumeError(f"{declares}; {more} came out of the compressed data. Copy or download it again")


def _inflated_bytes(file: BinaryIO, encoding: Encoding, *, at_most: int) -> int:
    """How many bytes a stream inflates to; counting stops one past the limit."""
    inflater = zlib.decompressobj(_WBITS[encoding])
    count, pending = 0, b""
    while not inflater.eof and count <= at_most:
        pending = pending or file.read(_ENCODED_BYTES)
        try:
            inflated = inflater.decompress(pending, _INFLATED_BYTES)
        except zlib.error as error:
            raise VolumeError(
                f"the compressed data is damaged after {count:,} bytes of voxels ({error}); copy or download "
                "the file again"
            ) from error
        if not pending and not inflated:
            raise VolumeError(
                f"the compressed data breaks off after {count:,} of {at_most:,} bytes of voxels; copy or "
                "download the file again"
            )
        count += len(inflated)
        pending = inflater.unconsumed_tail
    if inflater.eof and (inflater.unused_data or file.read(1)):
        raise VolumeError("something follows the compressed data; the file was damaged: copy it again")
    return count

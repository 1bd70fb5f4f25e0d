"""The size that a compressed image states of itself, read before a decoder allocates for it.

Reference: ITU-T T.81, B.2.2 and T.87, C.2.2 (JPEG and JPEG-LS frame headers); T.800, A.5.1 (JPEG 2000 SIZ).
"""

import struct

from medseg.errors import VolumeError
from medseg_dicom.header import Storage

_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_FRAME_HEADERS = (set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def check_codestream(codestream: bytes, storage: Storage) -> None:
    """Compare a code stream's size with the header's.

    Args:
        codestream: one frame of JPEG, JPEG-LS or JPEG 2000.
        storage: what the DICOM header declares.

    Raises:
        VolumeError: they differ, or the code stream states none.
    """
    found = _stated(codestream)
    wanted = storage.rows, storage.columns, 1
    if found is None:
        raise VolumeError(
            "the compressed image is damaged: it does not state its size. Copy or export it again"
        )
    if found != wanted:
        raise VolumeError(
            f"the compressed image has {found[0]} rows, {found[1]} columns and {found[2]} samples a pixel; "
            f"the header declares {wanted[0]}, {wanted[1]} and {wanted[2]}. The file is damaged: export it "
            "again"
        )


def _stated(codestream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples a pixel."""
    start = codestream.find(_JPEG_2000_START, 0, 4096)  # behind the boxes of JP2, which some writers leave in
    if start >= 0 and len(codestream) >= start + 42:
        width, height, left, top = struct.unpack_from(">4I", codestream, start + 8)
        (samples,) = struct.unpack_from(">H", codestream, start + 40)
        return height - top, width - left, samples
    if codestream.startswith(_JPEG_START):
        return _jpeg_frame(codestream)
    return None


def _jpeg_frame(codestream: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 10 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_HEADERS:
            rows, columns, samples = struct.unpack_from(">HHB", codestream, at + 5)
            return rows, columns, samples
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return None

"""One DICOM file up to its pixels: what it is encoded in, the wanted tags, and where the pixels lie.

Only the tags that a volume needs are kept; names, dates of birth and free text are skipped over and
never held. Nothing of the pixels is read here.

Reference: DICOM PS3.10, section 7 (file format); PS3.5, section 7 and annex A (encodings).
"""

import io
import struct
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import BinaryIO

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from medseg.errors import VolumeError
from medseg_dicom.archive import FREE_BYTES, MAX_BYTES, MAX_RATIO
from medseg_dicom.scan import ENOUGH, UnusualError, scan
from medseg_dicom.source import Source
from medseg_dicom.values import Elements

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNDEFINED_LENGTH = 0xFFFFFFFF

ZIP = b"PK\x03\x04"
_HEAD = 132  # preamble and magic
_PIXELS = {0x7FE00008: "float", 0x7FE00009: "double float", 0x7FE00010: "integer"}
_META = frozenset({0x00020002, 0x00020010})  # MediaStorageSOPClassUID, TransferSyntaxUID
_LONG_FORM = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN")
_EXECUTABLE = (b"MZ", b"\x7fELF")


class NotDicomError(Exception):
    """The content is something else; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Where the pixels of a file lie.

    Args:
        type: ``integer``, ``float`` or ``double float``.
        offset: of the first byte of the value, in the data set's stream.
        length: bytes, or ``UNDEFINED_LENGTH`` for encapsulated ones.
        available: bytes from the offset to the end of the stream.
    """

    type: str
    offset: int
    length: int
    available: int


@dataclass(frozen=True, kw_only=True)
class Content:
    """What one file holds, as far as it was asked.

    Args:
        dataset: the wanted elements, still raw.
        transfer_syntax: its UID; empty in a file without meta information.
        media_class: SOP class according to the meta information.
        big_endian: byte order of the data set.
        pixels: None if the file has none.
        executable: the preamble is the beginning of a program.
    """

    dataset: Dataset
    transfer_syntax: str
    media_class: str
    big_endian: bool
    pixels: Pixels | None
    executable: bool = False


def read_content(source: Source, keywords: tuple[str, ...], *, texts: bool = False) -> Content:
    """Read the wanted tags of a file, and find its pixels without reading them.

    Args:
        source: a file, or a member of an archive.
        keywords: of the tags.
        texts: texts that are not ASCII are among them, so the character set has to be known.

    Raises:
        NotDicomError: the content is something else.
        VolumeError: it is DICOM, but damaged.
    """
    wanted = _tags(keywords)
    with source.open() as stream:
        head = stream.read(ENOUGH)
        start = _start(head[: _HEAD + 8], source)
        executable = head[128:_HEAD] == b"DICM" and head.startswith(_EXECUTABLE)
        try:
            if not texts:
                return replace(_read_ordinary(head, start, wanted, source), executable=executable)
        except UnusualError:
            pass  # then pydicom reads it
        stream.seek(start)
        try:
            return replace(_read_any(stream, wanted, source), executable=executable)
        except VolumeError:
            raise
        except Exception as error:  # pydicom raises what the damage leads it into, even RecursionError
            raise VolumeError(
                "the header cannot be parsed; the file is damaged or cut. Copy or export it again"
            ) from error


@cache
def _tags(keywords: tuple[str, ...]) -> frozenset[int]:
    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)))


def _read_ordinary(head: bytes, start: int, wanted: frozenset[int], source: Source) -> Content:
    """Read the first bytes of a file as explicit VR little-endian, with meta information.

    Raises:
        UnusualError: they are something else.
    """
    if start != _HEAD:
        raise UnusualError
    meta, start = scan(head, start, wanted=_META, is_end=lambda tag: tag >> 16 != 2)
    elements = Elements(Dataset(meta))
    syntax = elements.text("TransferSyntaxUID") or ""
    if not syntax or syntax in (IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED):
        raise UnusualError
    found, at = scan(head, start, wanted=wanted, is_end=_PIXELS.__contains__)
    pixels = _find_pixels(io.BytesIO(head[at : at + 12]), implicit=False, little=True)
    if pixels is None:
        raise UnusualError
    offset = at + pixels.offset
    return Content(
        dataset=Dataset(found),
        transfer_syntax=syntax,
        media_class=elements.text("MediaStorageSOPClassUID") or "",
        big_endian=False,
        pixels=replace(pixels, offset=offset, available=max(0, source.size - offset)),
    )


def _read_any(stream: BinaryIO, wanted: frozenset[int], source: Source) -> Content:
    """Read a stream with pydicom."""
    syntax, media_class = _read_meta(stream)
    if syntax == DEFLATED:
        stream = _inflated(stream, packed=source.size)
    implicit, little = _encoding(stream, syntax)
    dataset = read_dataset(stream, implicit, little, stop_when=_at_pixels, specific_tags=list(wanted))
    return Content(
        dataset=dataset,
        transfer_syntax=syntax,
        media_class=media_class,
        big_endian=not little,
        pixels=_find_pixels(stream, implicit=implicit, little=little),
    )


def open_dataset(source: Source, transfer_syntax: str) -> BinaryIO:
    """The stream in which ``Pixels.offset`` counts: the file, or its inflated data set."""
    stream = source.open()
    if transfer_syntax != DEFLATED:
        return stream
    with stream:
        stream.seek(_HEAD)
        _read_meta(stream)
        return _inflated(stream, packed=source.size)


def looks_like_dicom(source: Source) -> bool:
    """Whether the first bytes are those of DICOM, with or without preamble."""
    with source.open() as stream:
        head = stream.read(_HEAD + 8)
    try:
        _start(head, source)
    except (NotDicomError, VolumeError):
        return False
    return True


def _start(head: bytes, source: Source) -> int:
    """Where the meta information or the data set begins."""
    if head[128:_HEAD] == b"DICM":
        return _HEAD
    if _begins_dataset(head):
        return 0
    if not head:
        raise NotDicomError("empty")
    if head.startswith(ZIP):
        raise NotDicomError("a zip within, which is not opened")
    if _is_text(head):
        raise NotDicomError("text, not DICOM")
    # What is neither DICOM nor anything that a person put there may be a slice that was damaged.
    if source.suffix == ".dcm" or not any(head[:128]):
        raise VolumeError(
            "named or shaped like DICOM, but its first bytes are not; the file is damaged or cut. Copy or "
            "export it again, or take it out of the folder"
        )
    raise NotDicomError("not DICOM")


def _begins_dataset(head: bytes) -> bool:
    """A first element of group 0002 or 0008 whose length or value representation is plausible."""
    if len(head) < 8:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        if group in (2, 8) and element <= 0x20 and (_is_representation(head[4:6]) or length <= 256):
            return True
    return False


def _is_representation(code: bytes) -> bool:
    return len(code) == 2 and code.isalpha() and code.isupper()


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)


def _read_meta(stream: BinaryIO) -> tuple[str, str]:
    """Transfer syntax and SOP class of group 0002; the stream is left where the data set begins."""
    begin = stream.tell()
    first = stream.read(2)
    stream.seek(begin)
    if first != b"\x02\x00":
        return "", ""
    meta = Elements(read_dataset(stream, False, True, stop_when=_after_meta))  # noqa: FBT003  # pydicom's order
    return meta.text("TransferSyntaxUID") or "", meta.text("MediaStorageSOPClassUID") or ""


def _after_meta(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001  # pydicom's signature
    return tag.group != 2


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001  # pydicom's signature
    return tag in _PIXELS


def _encoding(stream: BinaryIO, syntax: str) -> tuple[bool, bool]:
    """Implicit value representations or not, little-endian or not; guessed without a transfer syntax."""
    if syntax:
        return syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    begin = stream.tell()
    first = stream.read(6)
    stream.seek(begin)
    return not _is_representation(first[4:6]), first[1:2] == b"\0"


def _inflated(stream: BinaryIO, *, packed: int) -> BinaryIO:
    """The deflated rest of a stream, inflated in memory within the limits of archives."""
    limit = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * packed))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(stream.read(), limit + 1)
    if len(content) > limit:
        raise VolumeError(
            f"its {packed:,} bytes inflate to more than {limit:,}, which looks like a decompression bomb. "
            "Get the original file"
        )
    if not inflater.eof:
        raise VolumeError("the deflated data set is cut; copy or export the file again")
    return io.BytesIO(content)


def _find_pixels(stream: BinaryIO, *, implicit: bool, little: bool) -> Pixels | None:
    """Read the tag of the pixels, before which pydicom stopped."""
    order = "<" if little else ">"
    head = stream.read(8)
    if len(head) < 8:
        return None
    group, element, length = struct.unpack(f"{order}HHI", head)
    if not implicit and head[4:6] in _LONG_FORM:
        (length,) = struct.unpack(f"{order}I", stream.read(4))
    offset = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    return Pixels(
        type=_PIXELS[group << 16 | element], offset=offset, length=length, available=max(0, end - offset)
    )

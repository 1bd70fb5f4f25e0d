"""The wanted elements of an ordinary header, found in its bytes; several times faster than pydicom.

Ordinary is explicit VR little-endian with representations of the standard, as nearly all scanners write.
Whatever else there is, also the least damage, is left to pydicom, whose answer is the reference.

Reference: DICOM PS3.5, section 7.1.2 (explicit VR), 7.5 (sequences).
"""

import struct
from collections.abc import Callable

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

ENOUGH = 1 << 16
"""Bytes of a file within which nearly every header ends."""
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 20  # sequences within sequences; those of images reach 5
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_head = struct.Struct("<HH2sH").unpack_from
_length = struct.Struct("<I").unpack_from
_plain_head = struct.Struct("<HHI").unpack_from


class UnusualError(Exception):
    """The bytes are not those of an ordinary header, or it does not end within them."""


def scan(
    content: bytes, at: int, *, wanted: frozenset[int], is_end: Callable[[int], bool]
) -> tuple[dict[BaseTag, DataElement | RawDataElement], int]:
    """The wanted elements before the tag that is the end, and where that tag is.

    Args:
        content: the beginning of a file.
        at: of the first element.
        wanted: tags.
        is_end: of a tag.

    Raises:
        UnusualError: pydicom has to read this one.
    """
    found: dict[BaseTag, DataElement | RawDataElement] = {}
    while True:
        where = at
        tag, representation, length, at = _next(content, at)
        if is_end(tag):
            return found, where
        if length == _UNDEFINED:
            if representation != b"SQ" or tag in wanted:
                raise UnusualError
            at = _end_of_sequence(content, at)
            continue
        if tag in wanted:
            value = content[at : at + length]
            if representation == b"SQ" or len(value) != length:
                raise UnusualError
            key = BaseTag(tag)
            found[key] = RawDataElement(
                tag=key,
                VR=representation.decode(),
                length=length,
                value=value,
                value_tell=at,
                is_implicit_VR=False,
                is_little_endian=True,
            )
        at += length


def _next(content: bytes, at: int) -> tuple[int, bytes, int, int]:
    """Tag, representation and length of an element, and where its value begins."""
    if at + 12 > len(content):
        raise UnusualError
    group, element, representation, length = _head(content, at)
    if representation in _SHORT:
        return group << 16 | element, representation, length, at + 8
    if representation not in _LONG:
        raise UnusualError
    (length,) = _length(content, at + 8)
    return group << 16 | element, representation, length, at + 12


def _end_of_sequence(content: bytes, at: int, depth: int = 0) -> int:
    """Behind a sequence of undefined length."""
    if depth > _DEEPEST:
        raise UnusualError
    while True:
        tag, length, at = _next_item(content, at)
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise UnusualError
        at = _end_of_item(content, at, depth) if length == _UNDEFINED else at + length


def _end_of_item(content: bytes, at: int, depth: int) -> int:
    while True:
        tag, _, behind = _next_item(content, at)
        if tag == _ITEM_END:
            return behind
        _, representation, length, at = _next(content, at)
        if length != _UNDEFINED:
            at += length
        elif representation == b"SQ":
            at = _end_of_sequence(content, at, depth + 1)
        else:
            raise UnusualError


def _next_item(content: bytes, at: int) -> tuple[int, int, int]:
    if at + 8 > len(content):
        raise UnusualError
    group, element, length = _plain_head(content, at)
    return group << 16 | element, length, at + 8

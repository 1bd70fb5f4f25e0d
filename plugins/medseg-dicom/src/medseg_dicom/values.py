"""Values of tags, read strictly from their bytes.

pydicom converts values leniently and quotes what it cannot convert in warnings. Here a number is a
number or an error, and an error never repeats text that could be a patient's.

Reference: DICOM PS3.5, section 6.2 (value representations).
"""

import math
import re
import struct
from functools import cache

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from medseg.errors import VolumeError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_SHOWABLE = re.compile(r"[0-9+\-.,eE\\ ]{0,40}|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_BINARY = {"FD": "d", "FL": "f", "US": "H", "SS": "h", "UL": "I", "SL": "i"}


class Elements:
    """The elements of one dataset by keyword; absent and empty ones are None.

    Args:
        dataset: as pydicom reads it, its elements still raw.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def text(self, keyword: str) -> str | None:
        """A text without its padding."""
        return self.undecoded(keyword).decode("ascii", "replace") or None

    def undecoded(self, keyword: str) -> bytes:
        """The bytes of a text without its padding, whatever its character set; none of an absent one."""
        raw, _ = self._raw(keyword)
        return raw.strip(b" \0")

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Exactly ``count`` finite numbers, written as text or in binary.

        Raises:
            VolumeError: another number of values, or one that is no number.
        """
        raw, little_endian = self._raw(keyword)
        binary = _binary(keyword)
        if not (raw if binary else raw.strip(b" \0")):
            return None
        values = _unpacked(keyword, raw, binary, little=little_endian) if binary else _written(keyword, raw)
        if len(values) != count:
            raise VolumeError(f"{named(keyword)} has {len(values)} values; wanted {count}")
        if not all(math.isfinite(value) for value in values):
            raise VolumeError(f"{named(keyword)} is not finite; wanted {_wanted(count)}")
        return values

    def number(self, keyword: str) -> float | None:
        """One finite number."""
        values = self.numbers(keyword, 1)
        return None if values is None else values[0]

    def integer(self, keyword: str) -> int | None:
        """One whole number.

        Raises:
            VolumeError: it is no number, or not a whole one.
        """
        value = self.number(keyword)
        if value is not None and not value.is_integer():
            raise VolumeError(f"{named(keyword)} is {value:g}; wanted a whole number")
        return None if value is None else int(value)

    def stored_number(self, keyword: str, *, signed: bool) -> int | None:
        """A number of 16 bits whose sign is that of the pixels."""
        raw, little_endian = self._raw(keyword)
        if not raw:
            return None
        if len(raw) != 2:
            raise VolumeError(f"{named(keyword)} has {len(raw)} bytes; wanted 2")
        return int.from_bytes(raw, "little" if little_endian else "big", signed=signed)

    def items(self, keyword: str) -> list["Elements"]:
        """The items of a sequence."""
        tag = _tag(keyword)
        if tag not in self._dataset:
            return []
        try:
            value = self._dataset[tag].value  # parsed only now
        except Exception:  # noqa: BLE001  # pydicom raises what the damage leads it into
            value = None
        if not isinstance(value, Sequence):
            raise VolumeError(f"{named(keyword)} cannot be parsed; the file is damaged. Export it again")
        return [Elements(item) for item in value]

    def _raw(self, keyword: str) -> tuple[bytes, bool]:
        tag = _tag(keyword)
        if tag not in self._dataset:
            return b"", True
        try:
            element = self._dataset.get_item(tag)
        except Exception:  # noqa: BLE001  # a damaged representation; pydicom's message quotes the value
            raise VolumeError(
                f"{named(keyword)} cannot be parsed; the file is damaged. Export it again"
            ) from None
        value = element.value
        if not isinstance(value, bytes):
            return b"", True  # pydicom's ways to say empty
        return value, bool(getattr(element, "is_little_endian", True))


@cache
def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword  # the keywords are ours
    return BaseTag(tag)


@cache
def _binary(keyword: str) -> str | None:
    """How a number is packed; None if it is written as text."""
    return _BINARY.get(dictionary_VR(_tag(keyword)))


def named(keyword: str) -> str:
    """A tag as messages name it: ``PixelSpacing (0028,0030)``."""
    tag = _tag(keyword)
    return f"{keyword} ({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _written(keyword: str, raw: bytes) -> tuple[float, ...]:
    parts = [part.strip(" \0") for part in raw.decode("ascii", "replace").split("\\")]
    for part in parts:
        if not _NUMBER.fullmatch(part):
            found = repr(part) if _SHOWABLE.fullmatch(part) else f"{len(part)} characters of text"
            raise VolumeError(
                f"{named(keyword)} is not a number: {found}; wanted digits with a decimal point"
            )
    return tuple(float(part) for part in parts)


def _unpacked(keyword: str, raw: bytes, code: str, *, little: bool) -> tuple[float, ...]:
    size = struct.calcsize(code)
    if len(raw) % size:
        raise VolumeError(f"{named(keyword)} has {len(raw)} bytes; wanted a multiple of {size}")
    order = "<" if little else ">"
    return tuple(map(float, struct.unpack(f"{order}{len(raw) // size}{code}", raw)))


def _wanted(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"

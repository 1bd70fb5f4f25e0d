"""What both formats' headers come to, and how their text is read: strictly, and never beyond a limit."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from medseg.errors import VolumeError

Encoding = Literal["raw", "zlib", "gzip"]
Triple = tuple[float, float, float]

MAX_HEADER_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 14
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header that passed the gate.

    Args:
        shape: voxels along i, j, k; the first is stored fastest.
        dtype: stored type, with its byte order.
        axes_lps: unit vectors along i, j, k in LPS; None if the file does not state them.
        origin_lps: centre of the first voxel in LPS mm; None if not stated.
        spacing_mm: along i, j, k.
        data: the file that holds the voxels.
        offset: where they begin in it, in bytes.
        encoding: how they are stored.
        encoded_bytes: how many bytes the header says that they take as stored; None if it does not.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    axes_lps: tuple[Triple, Triple, Triple] | None
    origin_lps: Triple | None
    spacing_mm: Triple
    data: Path
    offset: int
    encoding: Encoding
    encoded_bytes: int | None = None

    @property
    def is_placed(self) -> bool:
        """Whether the file itself says where its voxels are."""
        return self.axes_lps is not None and self.origin_lps is not None

    @property
    def voxel_bytes(self) -> int:
        """Bytes that the voxels take, inflated."""
        return math.prod(self.shape) * self.dtype.itemsize


def next_line(file: BinaryIO) -> str | None:
    """One line of a header without its end; None at the end of the file.

    Raises:
        VolumeError: the line or the header is too long to be text.
    """
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES or file.tell() > MAX_HEADER_BYTES:
        raise VolumeError(
            f"the header does not end within {MAX_HEADER_BYTES:,} bytes of lines of at most "
            f"{MAX_LINE_BYTES:,}; the file is damaged or something else. Use the original file"
        )
    return line.decode("latin-1").rstrip("\r\n") if line else None


def parse_numbers(field: str, text: str, count: int) -> list[float]:
    """Finite numbers, exactly so many of them.

    Raises:
        VolumeError: another count, or something that is not a number; the field is named, not quoted.
    """
    words = text.split()
    if len(words) != count or not all(_NUMBER.fullmatch(word) for word in words):
        raise VolumeError(f"{field} must hold {count} numbers; the header is damaged. Use the original file")
    numbers = [float(word) for word in words]
    if not all(math.isfinite(number) for number in numbers):
        raise VolumeError(f"{field} holds a number that is not finite; use the original file")
    return numbers


def parse_triple(field: str, text: str) -> Triple:
    """Three finite numbers."""
    x, y, z = parse_numbers(field, text, 3)
    return x, y, z


def parse_shape(field: str, text: str) -> tuple[int, int, int]:
    """Three sizes of at least 1.

    Raises:
        VolumeError: another number of axes, or a size that cannot be.
    """
    words = text.split()
    if not all(re.fullmatch(r"\d{1,9}", word) for word in words):
        raise VolumeError(f"{field} must hold whole numbers; the header is damaged. Use the original file")
    shape = [int(word) for word in words]
    size = " x ".join(map(str, shape))
    if len(shape) != 3:
        raise VolumeError(
            f"{field} is {size}: {len(shape)} axes; wanted three. Save the volume that you need as a file of "
            "its own"
        )
    if min(shape) < 1:
        raise VolumeError(f"{field} is {size}; every size must be at least 1. The header is damaged")
    return shape[0], shape[1], shape[2]


def byte_order(field: str, dtype: str, *, big: bool | None) -> np.dtype[Any]:
    """A type with its byte order, which only single bytes may leave open.

    Raises:
        VolumeError: more than one byte, and no order.
    """
    if big is None and np.dtype(dtype).itemsize > 1:
        raise VolumeError(
            f"{field} is missing, so the order of the bytes is not known; use the original file"
        )
    return np.dtype((">" if big else "<") + dtype)


def find_data(header: Path, name: str) -> Path:
    """The data file that a header names: a plain name of a file beside it, nothing else.

    Raises:
        VolumeError: a path, a pattern, a link, or no such file.
    """
    shown = name if name.isprintable() and len(name) <= 64 else "what it names"
    if not name or name in (".", "..") or any(char in name for char in '/\\:%*?"<>|\0'):
        raise VolumeError(
            f"its voxels are said to be in {shown!r}; wanted the plain name of one file in the same folder. "
            "Put both into one folder, and save a list of slices as one file"
        )
    data = header.parent / name
    if data.is_symlink() or not data.is_file():
        raise VolumeError(
            f"its voxels are said to be in {shown!r}, and no such file is beside it; put both into one folder"
        )
    return data

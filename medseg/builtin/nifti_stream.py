"""The bytes of a NIfTI file, plain or gzipped, read to the very end.

Neither nibabel (no checksum) nor SimpleITK (zeros for what is missing) notices every damaged
file. Here a gzip stream counts as read only when its checksum and its length were right, every
member of it was read, and nothing else follows.
"""

import io
import zlib
from pathlib import Path

from medseg.errors import VolumeError

MAGIC = b"\x1f\x8b"
LARGEST_EXPANSION = 1032  # deflate codes at most 258 bytes in 2 bits
_GZIP = 31  # zlib's wbits for a gzip header and trailer, both checked
_COMPRESSED_BYTES = 1 << 16  # read at once: small enough for the cache
_INFLATED_BYTES = 1 << 18  # inflated at once, at most


def is_gzip(path: Path) -> bool:
    """Whether the content is gzip, whatever the name says."""
    with path.open("rb") as file:
        return file.read(2) == MAGIC


def open_content(path: Path) -> io.RawIOBase:
    """Open a file for reading what it holds, inflated if it is gzipped."""
    return GzipContent(path) if is_gzip(path) else path.open("rb", buffering=0)


def fill(stream: io.RawIOBase, buffer: memoryview) -> int:
    """Read until the buffer is full or the content ends; return the number of bytes."""
    done = 0
    while done < len(buffer):
        try:
            count = stream.readinto(buffer[done:])
        except EOFError:
            break
        if not count:
            break
        done += count
    return done


def discard(stream: io.RawIOBase, *, at_most: int) -> int:
    """Read on and keep nothing; return how many bytes there were, fewer only at a sound end.

    Raises:
        VolumeError: a gzip stream breaks off, or its checksum is wrong.
    """
    buffer = memoryview(bytearray(min(at_most, _INFLATED_BYTES)))
    count = 0
    while count < at_most:
        try:
            got = stream.readinto(buffer[: at_most - count])
        except EOFError:
            raise VolumeError(
                "the gzip stream is cut and its checksum missing; copy or download the file again"
            ) from None
        if not got:
            break
        count += got
    return count


class GzipContent(io.RawIOBase):
    """The inflated content of a gzip file with one or several members.

    Raises:
        EOFError: on reading, the stream breaks off.
        VolumeError: on reading, the stream is damaged, or followed by something that is not gzip.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._inflater = zlib.decompressobj(wbits=_GZIP)
        self._pending = b""
        self._inflated = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # only memoryviews are passed
        """Inflate at least one byte into the buffer; 0 means a sound end."""
        while True:
            if self._inflater.eof and not self._begin_member():
                return 0
            if not self._pending:
                self._pending = self._file.read(_COMPRESSED_BYTES) or b""
            ended = not self._pending
            try:
                data = self._inflater.decompress(self._pending, min(len(buffer), _INFLATED_BYTES))
            except zlib.error as error:
                raise VolumeError(
                    f"the gzip stream is damaged after {self._inflated:,} bytes of content ({error}); "
                    "copy or download the file again"
                ) from error
            self._pending = self._inflater.unconsumed_tail
            if data:
                buffer[: len(data)] = data
                self._inflated += len(data)
                return len(data)
            if ended and not self._inflater.eof:
                raise EOFError

    def _begin_member(self) -> bool:
        """Go to the next member; False at the end, which zeros may pad."""
        rest = self._inflater.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._file.read(_COMPRESSED_BYTES)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\0")
        if len(rest) < len(MAGIC):
            rest += self._file.read(_COMPRESSED_BYTES) or b""
        if not rest.startswith(MAGIC):
            raise VolumeError(
                "something that is not gzip follows the end of the gzip stream; the file was damaged or "
                "joined with another: copy or download it again"
            )
        self._inflater = zlib.decompressobj(wbits=_GZIP)
        self._pending = rest
        return True

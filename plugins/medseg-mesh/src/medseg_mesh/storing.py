"""Put the content of a file on the disk, whole or not at all, and look at what arrived there."""

from pathlib import Path

from medseg.atomic import write_whole
from medseg.errors import ResourceError

SPACE = "SPACE=RAS"
"""What 3D Slicer looks for in the header or comments of each format; without it Slicer assumes LPS."""


def store(content: bytes, path: str | Path) -> None:
    """Write a file and read it back.

    Raises:
        ResourceError: the disk refused it, or gave something else back.
    """

    def write(part: Path) -> None:
        part.write_bytes(content)

    def verify(part: Path) -> None:
        if part.read_bytes() != content:
            raise ResourceError(f"{path}: the disk gave back other bytes than were written; check the disk")

    write_whole(path, write, verify=verify)

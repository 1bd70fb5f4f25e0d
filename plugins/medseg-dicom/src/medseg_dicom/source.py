"""Where bytes come from: a file of a folder, or a member of an archive."""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from medseg.errors import VolumeError

_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ ()+-]{0,63}")
MAX_FILES = 200_000


@dataclass(frozen=True, kw_only=True)
class Source:
    """Bytes under a name that can be shown.

    Args:
        name: base name, or a number where the name itself would disturb a terminal or a table.
        size: bytes.
        path: the file, if it is one.
        content: the bytes, if they are in memory.
    """

    name: str
    size: int
    path: Path | None = None
    content: bytes = field(default=b"", repr=False)

    @classmethod
    def of_file(cls, path: Path, number: int = 1) -> "Source":
        """A file on the disk."""
        return cls(name=_shown(path.name, f"file {number}"), size=path.stat().st_size, path=path)

    @classmethod
    def of_member(cls, filename: str, number: int, content: bytes) -> "Source":
        """A member of an archive, in memory."""
        name = _shown(PurePosixPath(filename).name, f"member {number}")
        return cls(name=name, size=len(content), content=content)

    @property
    def suffix(self) -> str:
        """The name's ending in lower case, with the dot."""
        return PurePosixPath(self.name).suffix.lower()

    def open(self) -> BinaryIO:
        """A stream at the first byte, which the caller closes."""
        return self.path.open("rb") if self.path else io.BytesIO(self.content)


def walk_folder(folder: Path) -> list[Source]:
    """Every file below a folder, in order of name; links to folders are not followed.

    Raises:
        VolumeError: there are too many files to be one study.
    """
    paths = list(islice(files_below(folder), MAX_FILES + 1))
    if len(paths) > MAX_FILES:
        raise VolumeError(f"more than {MAX_FILES:,} files below this folder; give the folder of one study")
    return [Source.of_file(path, number) for number, path in enumerate(paths, start=1)]


def files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder, one after the other, so that a look at the first costs no more."""
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(where, name)).is_file())


def _shown(name: str, otherwise: str) -> str:
    return name if _HARMLESS.fullmatch(name) else otherwise

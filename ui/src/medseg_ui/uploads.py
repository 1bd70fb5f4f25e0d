"""Files that arrive one by one, and the cases that they make together."""

import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medseg_ui.storage import Storage

MOST_FILES = 20_000


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A case in an upload: a file, or a folder of slices; ``title`` is what its owner calls it."""

    path: Path
    title: str


@dataclass(kw_only=True)
class Upload:
    """The files of one drop, under names of our own.

    Args:
        folder: where they are.
        suffixes: the endings that stand for a volume in one file; everything else is a slice.
    """

    folder: Path
    suffixes: tuple[str, ...]
    size: int = 0
    files: dict[Path, str] = field(default_factory=dict)

    def place(self, number: int, name: str) -> Path:
        """Where a file goes: of its name only a known ending is kept."""
        if number > MOST_FILES:
            raise ValueError(f"more than {MOST_FILES} files at once")
        return self.folder / f"{number:05d}{self._suffix(name)}"

    def add(self, path: Path, name: str, size: int) -> None:
        """Count a file that has arrived."""
        self.files[path] = name
        self.size += size

    def arrivals(self) -> list[Arrival]:
        """The cases: each volume in a file, and for each folder that was dropped its slices."""
        cases = []
        slices: dict[str, list[Path]] = {}
        for path, name in sorted(self.files.items()):
            if self._suffix(name):
                title = PurePosixPath(name).name.removesuffix(self._suffix(name))
                cases.append(Arrival(path=path, title=title or "volume"))
            else:
                slices.setdefault(str(PurePosixPath(name).parent), []).append(path)
        for parent, paths in slices.items():
            series = self.folder / f"series-{secrets.token_hex(4)}"
            series.mkdir(mode=0o700)
            for path in paths:
                path.rename(series / path.name)
            cases.append(Arrival(path=series, title=PurePosixPath(parent).name or "series"))
        return cases

    def _suffix(self, name: str) -> str:
        lower = name.lower()
        return next((suffix for suffix in self.suffixes if lower.endswith(suffix)), "")


class Uploads:
    """Uploads under way, by owner and by the name that the browser gave them."""

    def __init__(self, storage: Storage, *, suffixes: tuple[str, ...]) -> None:
        self._storage = storage
        self._suffixes = suffixes
        self._open: dict[tuple[str, str], Upload] = {}
        self._lock = threading.Lock()

    def open(self, owner: str, batch: str) -> Upload:
        """The upload of a name, begun if it is new."""
        with self._lock:
            key = (owner, batch)
            if key not in self._open:
                self._open[key] = Upload(folder=self._storage.new_folder("upload"), suffixes=self._suffixes)
            return self._open[key]

    def take(self, owner: str, batch: str) -> list[Arrival]:
        """The cases of a finished upload; nothing the second time."""
        with self._lock:
            upload = self._open.pop((owner, batch), None)
        return upload.arrivals() if upload else []

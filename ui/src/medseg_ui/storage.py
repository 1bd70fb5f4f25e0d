"""The private folder of a running server, and the tokens by which browsers ask for its files."""

import contextlib
import os
import secrets
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SharedFile:
    """A file that one owner may fetch.

    Args:
        owner: whose it is.
        path: where it is.
        name: what a download is called; nothing of the patient.
    """

    owner: str
    path: Path
    name: str


class Storage:
    """Folders that only this account can read, removed when the server ends.

    Args:
        parent: holds a folder for each running server; what killed servers left is swept.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        parent.chmod(0o700)
        _sweep(parent)
        self.root = parent / f"{os.getpid()}-{secrets.token_hex(4)}"
        self.root.mkdir(mode=0o700)
        self._shared: dict[str, SharedFile] = {}
        self._tokens: dict[tuple[str, Path], str] = {}
        self._lock = threading.Lock()

    def new_folder(self, kind: str) -> Path:
        """An empty folder with a name that says nothing of the patient."""
        folder = self.root / f"{kind}-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        return folder

    def share(self, path: Path, *, owner: str, name: str = "") -> str:
        """A token that lets the owner's browser fetch a file; the same one for the same file."""
        with self._lock:
            token = self._tokens.setdefault((owner, path), secrets.token_urlsafe(24))
            self._shared[token] = SharedFile(owner=owner, path=path, name=name or path.name)
            return token

    def find(self, token: str, owner: str | None) -> SharedFile | None:
        """The file behind a token, if it is that owner's."""
        with self._lock:
            shared = self._shared.get(token)
        return shared if shared and owner and secrets.compare_digest(shared.owner, owner) else None

    def remove(self, folder: Path) -> None:
        """Remove a folder, or a file, and the tokens of what was in it."""
        with self._lock:
            gone = [token for token, shared in self._shared.items() if shared.path.is_relative_to(folder)]
            for token in gone:
                shared = self._shared.pop(token)
                self._tokens.pop((shared.owner, shared.path), None)
        if folder.is_file():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove the folders of servers that were killed before they could."""
    for folder in parent.iterdir():
        number, _, rest = folder.name.partition("-")
        if number.isdecimal() and rest and not _is_alive(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    with contextlib.suppress(PermissionError):  # another account's: alive
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True

"""The one server of a process: its settings and everything that its pages and routes share."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from medseg import default_registry, known_suffixes
from medseg_ui.history import History
from medseg_ui.identity import Owners, load_secret
from medseg_ui.jobs import JobManager
from medseg_ui.storage import Storage
from medseg_ui.uploads import Uploads
from medseg_ui.workspace import Workspace

_SWEEP_SECONDS = 60.0
SLICE_SUFFIX = ".dcm"
"""Of a file that is one of many, although the reader takes it alone as well."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server runs.

    Args:
        address, port: where it listens.
        login: people log in with the accounts of an OpenID Connect provider.
        warn_open: it listens to the network without login: every page says so.
        folders: folders of this computer whose volumes may be opened.
        upload_limit_bytes: of one drop.
        models_at_once: segmentations side by side.
        keep_hours: after so long without use an owner's volumes are removed.
        data_folder: for the history and the cookies' key.
        work_folder: for volumes while the server runs.
    """

    address: str = "127.0.0.1"
    port: int = 8501
    login: bool = False
    warn_open: bool = False
    folders: tuple[Path, ...] = ()
    upload_limit_bytes: int = 4_000_000_000
    models_at_once: int = 1
    keep_hours: float = 12.0
    data_folder: Path = platformdirs.user_data_path("medseg") / "viewer"
    work_folder: Path = platformdirs.user_cache_path("medseg") / "viewer"


class Service:
    """What a server holds; ``close`` removes every volume."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.owners = Owners(load_secret(settings.data_folder / "cookie-key"), login=settings.login)
        self.storage = Storage(settings.work_folder)
        self.history = History(settings.data_folder / "history.sqlite")
        self.jobs = JobManager(models_at_once=settings.models_at_once)
        self.uploads = Uploads(self.storage, suffixes=_volume_suffixes())
        self._workspaces: dict[str, Workspace] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        threading.Thread(target=self._sweep, daemon=True).start()

    def workspace(self, owner: str) -> Workspace:
        """What an owner has open."""
        with self._lock:
            if owner not in self._workspaces:
                self._workspaces[owner] = Workspace(
                    owner, storage=self.storage, jobs=self.jobs, history=self.history
                )
            workspace = self._workspaces[owner]
            workspace.last_used = time.monotonic()
            return workspace

    def colours_of(self, shown: Path, owner: str | None) -> dict[int, str]:
        """The colours of the labels in a file that the viewer shows, by byte."""
        with self._lock:
            workspace = self._workspaces.get(owner or "")
        results = [result for case in (workspace.cases if workspace else []) for result in case.results]
        entries: Iterable[dict[str, str | int]] = next(
            (result.entries for result in results if result.folder == shown.parent), []
        )
        return {int(entry["index"]): str(entry["colour"]) for entry in entries}

    def close(self) -> None:
        """Stop all jobs and remove all volumes."""
        self._closing.set()
        self.jobs.close()
        self.storage.close()
        self.history.close()

    def _sweep(self) -> None:
        while not self._closing.wait(_SWEEP_SECONDS):
            oldest = time.monotonic() - self.settings.keep_hours * 3600
            with self._lock:
                idle = [w for w in self._workspaces.values() if w.last_used < oldest]
                for workspace in idle:
                    del self._workspaces[workspace.owner]
            for workspace in idle:
                workspace.erase()


def _volume_suffixes() -> tuple[str, ...]:
    return tuple(suffix for suffix in known_suffixes(default_registry()) if suffix != SLICE_SUFFIX)


class _Current:
    """The service of this process; pages are scripts that Streamlit runs, and find it here."""

    service: Service | None = None


def start(settings: Settings) -> Service:
    """Make the service of this process."""
    _Current.service = Service(settings)
    return _Current.service


def current() -> Service:
    """The service of this process; with the default settings, if none was started."""
    return _Current.service or start(Settings())

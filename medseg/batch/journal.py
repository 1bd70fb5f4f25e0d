"""The journal of a folder of results: one JSON object a line, appended and forced to the disk.

::

    {"run": {...settings...}, "fresh": false, "process": 123, "host": "node7", "time": "..."}
    {"claimed": "sub-01"}                      from here on its files may be there in part
    {"done": "sub-01", "input": "sha256", "options": "sha256", "files": {"sub-01.json": "sha256"}, ...}
    {"refused": "sub-02", "reason": "..."}     or "failed"
    {"ended": "finished"}

A case that was claimed and neither done nor set aside is done again, and its files are replaced; of one
that is set aside there are none, so that what lies there afterwards is the user's. A case that is done is
trusted as long as its input, its options and its files still have these hashes. Only one process writes
here: it holds the system's lock on the file, together with its workers, until the last of them has ended.
"""

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medseg.atomic import explain
from medseg.batch.cases import JOURNAL
from medseg.batch.job import Report
from medseg.batch.lock import open_locked
from medseg.errors import OptionError, ResourceError

NAME = JOURNAL


@dataclass(frozen=True, kw_only=True)
class Done:
    """A case that is done: hashes of its input, options and files, and where in the journal it stands."""

    input: str
    options: str
    files: Mapping[str, str]
    offset: int


@dataclass(kw_only=True)
class _State:
    """What the lines of a journal add up to."""

    settings: Mapping[str, Any] | None = None
    done: dict[str, Done] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)  # done in a run before, whose results are made again
    suspects: set[str] = field(default_factory=set)
    holder: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False  # a run that makes all again has begun and not finished
    end: int = 0

    def add(self, entry: Mapping[str, Any], offset: int) -> None:
        if "run" in entry:
            if entry["fresh"]:
                self.replaced |= set(self.done)
                self.done, self.suspects = {}, set()
            self.settings, self.holder = entry["run"], entry
            self.fresh = self.fresh or entry["fresh"]
        elif "claimed" in entry:
            self.claimed.add(entry["claimed"])
            self.suspects.discard(entry["claimed"])
        elif "done" in entry:
            self.done[entry["done"]] = Done(
                input=entry["input"], options=entry["options"], files=entry["files"], offset=offset
            )
            self.claimed.discard(entry["done"])
            self.replaced.discard(entry["done"])
        elif "refused" in entry:
            self.claimed.discard(entry["refused"])
        elif "failed" in entry:
            self.claimed.discard(entry["failed"])
            self.suspects.add(entry["failed"])
        elif entry.get("ended") == "finished":
            self.fresh = False


class Journal:
    """The journal of one folder, locked against a second run; made by ``open_journal``."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self.descriptor = descriptor
        self._state = _replay(folder / NAME)

    def begin(self, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Start a run, or go on with the one that was cut off.

        Args:
            settings: of the job.
            overwrite: forget what is done, unless what is cut off was such a run with these settings.

        Raises:
            OptionError: the folder holds results of other settings.
        """
        settings = json.loads(json.dumps(settings))
        before = self._state.settings
        fresh = overwrite and not (before == settings and self._state.fresh)
        if before is not None and before != settings and not overwrite:
            raise OptionError(
                f"{self.folder} holds results of other settings: "
                f"{'; '.join(_differences(before, settings))}. Write to another folder, or use "
                "--overwrite to make all of them again"
            )
        os.ftruncate(self.descriptor, self._state.end)  # half a line that a kill or a full disk left
        self._append(
            {
                "run": settings,
                "fresh": fresh,
                "process": os.getpid(),
                "host": socket.gethostname(),
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        self.sync()

    def trusted(self, name: str) -> Done | None:
        """What is remembered of a case that is done."""
        return self._state.done.get(name)

    def owns(self, name: str) -> bool:
        """Whether files of this case that are there were written, or begun, by a run of this journal."""
        return name in self._state.claimed | self._state.replaced

    def begun(self, name: str) -> bool:
        """Whether a run began to write files of this case, and neither ended nor set it aside."""
        return name in self._state.claimed

    def failed_before(self, name: str) -> bool:
        """Whether an earlier run set this case aside."""
        return name in self._state.suspects

    def report(self, done: Done) -> Report:
        """What was said of a case when it was done."""
        with (self.folder / NAME).open("rb") as file:
            file.seek(done.offset)
            entry = json.loads(file.readline())
        return Report(result=entry["result"], measured=entry["measured"])

    def claim(self, name: str) -> None:
        """Say that files of a case may appear from now on; to be followed by ``sync``."""
        self._append({"claimed": name})

    def done(
        self, name: str, *, source_sha256: str, options_sha256: str, files: Mapping[str, str], report: Report
    ) -> None:
        """Say that all files of a case are there."""
        self._append(
            {
                "done": name,
                "input": source_sha256,
                "options": options_sha256,
                "files": dict(files),
                "result": dict(report.result),
                "measured": dict(report.measured),
            }
        )

    def set_aside(self, name: str, status: str, reason: str) -> None:
        """Say that a case is not done, has no files, and why; the reason is a sentence of medseg's own."""
        self._append({status: name, "reason": reason})

    def end(self, how: str) -> None:
        """Say how the run ended."""
        self._append({"ended": how, "time": datetime.now(UTC).isoformat(timespec="seconds")})
        self.sync()

    def sync(self) -> None:
        """Wait until the disk has all lines."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise explain(self.folder / NAME, error) from error

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self.descriptor, line)
            if written < len(line):  # the disk is full: say so by asking for the rest
                written += os.write(self.descriptor, line[written:])
        except OSError as error:
            os.ftruncate(self.descriptor, self._state.end)
            raise explain(self.folder / NAME, error) from error
        self._state.add(entry, self._state.end)
        self._state.end += len(line)


@contextlib.contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """Lock a folder of results for one run, and read what is known of it.

    Raises:
        ResourceError: another run is at work there, or the folder's disk refuses.
    """
    path = folder / NAME
    descriptor = open_locked(path, holder=lambda: _replay(path).holder)
    try:
        yield Journal(folder, descriptor)
    finally:
        if os.fstat(descriptor).st_size == 0:  # nothing was begun: nothing is left
            path.unlink(missing_ok=True)
        os.close(descriptor)


def read_measured(folder: Path) -> dict[str, Mapping[str, Any]]:
    """What each case that is done took: seconds and memory, by its name; empty without a journal."""
    path = folder / NAME
    if not path.exists():
        return {}
    with path.open("rb") as file:
        entries = [json.loads(line) for line in file if line.endswith(b"\n")]
    return {entry["done"]: entry["measured"] for entry in entries if "done" in entry}


def sha256_of_files(paths: Sequence[Path]) -> str:
    """sha256 over the bytes of files; of a folder, over the names and bytes of all files in it."""
    if len(paths) == 1 and paths[0].is_file():
        with paths[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for found in inside:
            name = str(found.relative_to(path)) if path.is_dir() else ""
            digest.update(f"{len(name)} {name} {sha256_of_files([found])}".encode())
    return digest.hexdigest()


def _replay(path: Path) -> _State:
    state = _State()
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break  # what a kill cut off was never relied on
            try:
                state.add(json.loads(line), state.end)
            except (ValueError, KeyError, TypeError) as error:
                raise ResourceError(
                    f"{path}, line {number}, is not what a journal of medseg holds ({error}); the disk or "
                    "another program changed it. Write to another folder, or delete it and use --overwrite"
                ) from error
            state.end += len(line)
    return state


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """Each setting that differs: ``execution.backend: eager there, openvino now``."""
    found = []
    for key in [*before, *(key for key in now if key not in before)]:
        there, here = before.get(key), now.get(key)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            found += _differences(there, here, f"{path}{key}.")
        elif there != here:
            found.append(f"{path}{key}: {_spell(there)} there, {_spell(here)} now")
    return found


def _spell(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."

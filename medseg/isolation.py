"""Run a reader in a child process with limits, so that a crash in a decoder is a refusal.

Decoders of images are large C libraries that were written for trusted files. What reads a file gets a
limit on memory and time, and ends with it; what it reads comes back through anonymous memory that never
has a name on a disk; whatever it prints is thrown away, because libraries quote headers in their
warnings. If it dies, the file is refused and the program that asked lives on.

On Linux the process that has imported the reader is kept, and forks one for each file; after a death it
is not kept. Elsewhere each file has a process of its own from the start. Windows has neither such limits
nor inherited descriptors in this form; there the reader runs in the calling process.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medseg import errors
from medseg.memory import map_voxels
from medseg.plugin import Content
from medseg.reading_child import ANSWER, MESSAGE
from medseg.volume import Kind, Volume

POSSIBLE = os.name == "posix"
FORKS = sys.platform == "linux"  # macOS's own libraries do not survive a fork
_KEPT = 2  # processes that wait for the next file


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a reader may use.

    Args:
        memory_bytes: address space of the child.
        seconds: wall time.
    """

    memory_bytes: int = 16 * 2**30
    seconds: float = 600.0


def read_isolated(
    reader: str, path: Path, *, kind: Kind, options: dict[str, Any], limits: Limits | None = None
) -> Volume:
    """Call ``reader(path, kind=kind, **options)`` in a child process.

    Args:
        reader: import string ``"package.module:name"``.
        path: what to read.
        kind: ``image`` or ``labels``.
        options: of the reader; JSON values.
        limits: on memory and time.

    Raises:
        VolumeError: the reader refuses, crashes, or exceeds a limit.
        MedsegError: any other error of medseg that the reader raised, as it was.
    """
    reply, (voxels,) = _call(reader, path, {"kind": kind, **options}, limits or Limits())
    described = reply["volume"]
    try:
        values = map_voxels(voxels, described["type"])
    finally:
        os.close(voxels)
    return Volume(
        values.reshape(described["shape"], order=described["order"]),
        np.array(described["affine"]),
        described["kind"],
        tuple(described["notes"]),
        modality=described["modality"],
        unit=described["unit"],
    )


def list_isolated(contents: str, path: Path, *, limits: Limits | None = None) -> tuple[Content, ...]:
    """Call ``contents(path)``, which lists the volumes of a path, in a child process.

    Raises:
        VolumeError, MedsegError: as ``read_isolated``.
    """
    reply, _ = _call(contents, path, {}, limits or Limits())
    return tuple(Content(**item) for item in reply["items"])


def prepare(function: str) -> None:
    """Begin to start the process that will call a function, so that its start costs no time then."""
    if not FORKS:
        return
    with _lock:
        waits = any(key == _key(function) for key, _ in _idle)
    if not waits:
        _keep(function, _Child(function))


class _DiedError(Exception):
    """What read a file ended without an answer; the argument is its exit status."""


class _Child:
    """A process that has imported the module of a function, and the socket to it."""

    def __init__(self, function: str) -> None:
        self.channel, theirs = socket.socketpair()
        call = f"serve({theirs.fileno()}, {function!r}, fork={FORKS})"
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603  # this Python, with a line of our own
                [sys.executable, "-c", f"from medseg.reading_child import serve; {call}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Threads do not survive a fork: numpy's library for matrices begins none with this.
                env={**os.environ, "PYTHONPATH": _python_path(), "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # so that Ctrl-C goes to the program that asks, which decides
            )
        self._busy = False

    def ask(self, request: dict[str, Any], deadline: float) -> tuple[bytes, list[int]]:
        """The answer to a request, and descriptors that belong to it.

        Raises:
            TimeoutError: the deadline passed.
            _DiedError: there is no answer.
        """
        self._busy = True
        self._wait_until(deadline)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then its end is read below
            self.channel.sendall(json.dumps(request).encode() + b"\n")
        kind, number, descriptors = self._message(deadline)
        if kind != ANSWER:
            raise _DiedError(number)
        return self._exactly(number, deadline), descriptors

    def is_ready(self, deadline: float) -> bool:
        """Whether it can be asked: it lives, and what it forked for the last answer ended well.

        Raises:
            TimeoutError: the deadline passed.
        """
        if self.process.poll() is not None:
            return False
        try:
            if self._busy:
                _, status, _ = self._message(deadline)
                self._busy = status != 0
        except _DiedError:
            return False
        return not self._busy

    def stop(self) -> None:
        """End it and what it forked."""
        if self.process.poll() is None:  # else its number may be another's by now
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.channel.close()

    def forget(self) -> None:
        """Leave it alone: it is the child of the process that this one was forked from."""
        self.process.returncode = 0
        self.channel.close()

    def _message(self, deadline: float) -> tuple[bytes, int, list[int]]:
        self._wait_until(deadline)
        head, descriptors, _, _ = socket.recv_fds(self.channel, MESSAGE.size, 1)
        kind, number = MESSAGE.unpack(head + self._exactly(MESSAGE.size - len(head), deadline))
        return kind, number, descriptors

    def _exactly(self, size: int, deadline: float) -> bytes:
        content = b""
        while len(content) < size:
            self._wait_until(deadline)
            more = self.channel.recv(min(size - len(content), 1 << 20))
            if not more:
                raise _DiedError(self.process.wait())
            content += more
        return content

    def _wait_until(self, deadline: float) -> None:
        self.channel.settimeout(max(deadline - time.monotonic(), 1e-3))


_lock = threading.Lock()
_idle: list[tuple[tuple[str, str], _Child]] = []
"""Processes that wait, by what they have imported; the one that was used last is the last."""


def _call(
    function: str, path: Path, arguments: dict[str, Any], limits: Limits
) -> tuple[dict[str, Any], list[int]]:
    """The reply to a call, and descriptors that the caller closes."""
    request = {
        "function": function,
        "path": str(path.absolute()),
        "arguments": arguments,
        "memory_bytes": limits.memory_bytes,
    }
    deadline = time.monotonic() + limits.seconds
    child: _Child | None = None
    try:
        child = _take(function, deadline)
        content, descriptors = child.ask(request, deadline)
    except TimeoutError:
        _stop(child)
        raise errors.VolumeError(
            f"{path.name}: reading it took more than {limits.seconds:g} s and was stopped; "
            "the file is damaged, or far larger than a scan"
        ) from None
    except _DiedError as death:
        _stop(child)
        raise errors.VolumeError(f"{path.name}: {_cause_of_death(death.args[0], limits)}") from None
    except BaseException:
        _stop(child)
        raise
    _keep(function, child)
    reply = json.loads(content)
    if "error" in reply:
        raise getattr(errors, reply["error"])(reply["message"])
    return reply, descriptors


def _take(function: str, deadline: float) -> _Child:
    """A process that waits, or a new one."""
    while child := _pop(_key(function)):
        try:
            if child.is_ready(deadline):
                return child
        except TimeoutError:
            _stop(child)
            raise
        _stop(child)
    return _Child(function)


def _pop(key: tuple[str, str]) -> _Child | None:
    with _lock:
        found = next((entry for entry in reversed(_idle) if entry[0] == key), None)
        if found:
            _idle.remove(found)
    return found[1] if found else None


def _keep(function: str, child: _Child) -> None:
    if not FORKS:
        _stop(child)
        return
    with _lock:
        _idle.append((_key(function), child))
        surplus = [_idle.pop(0) for _ in range(len(_idle) - _KEPT)]
    for _, old in surplus:
        old.stop()


def _stop(child: _Child | None) -> None:
    if child:
        child.stop()


def _stop_all() -> None:
    while _idle:
        _idle.pop()[1].stop()


def _forget_all() -> None:
    global _lock  # noqa: PLW0603  # another thread may have held it at the moment of the fork
    _lock = threading.Lock()
    while _idle:
        _idle.pop()[1].forget()


def _key(function: str) -> tuple[str, str]:
    module, _, _ = function.partition(":")
    return module.partition(".")[0], _python_path()


def _python_path() -> str:
    """What this process finds, its children find, whatever was put on its path since it started."""
    return os.pathsep.join(filter(None, sys.path))


def _cause_of_death(status: int, limits: Limits) -> str:
    if status >= 0:
        return f"its reader failed (exit status {status}); the file is damaged, or the reader has a fault"
    name = signal.Signals(-status).name
    return (
        f"its decoder crashed ({name}) within {limits.memory_bytes / 2**30:.3g} GiB; the file is damaged or "
        "hostile"
    )


atexit.register(_stop_all)
if POSSIBLE:
    os.register_at_fork(after_in_child=_forget_all)

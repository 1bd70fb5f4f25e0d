"""A lock on a file that ends with the processes that hold it, so that none is ever stale.

It is the system's own (flock), and it is shared with the workers that inherit the descriptor: after a
kill of the process that took it, it lasts until the last worker has ended, and nobody else writes.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medseg.atomic import explain
from medseg.errors import ResourceError

_PATIENCE_S = 15.0  # workers of a process that was killed end within this time
_NOWHERE = 1 << 40  # Windows locks bytes, and nobody may read them: one that the file does not have


def open_locked(path: Path, *, holder: Callable[[], Mapping[str, Any]]) -> int:
    """Open a file for appending and lock it; close the descriptor to unlock it.

    Args:
        path: made if it does not exist.
        holder: who has it, as the file says: ``process`` and ``host``, or nothing.

    Raises:
        ResourceError: another process has it; or the system refuses.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise explain(path, error) from error
        try:
            # Who ends before writing anything takes the empty file away: then this is no longer the file.
            if _try_lock(descriptor, path) and _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        _wait_or_refuse(path, holder() if path.exists() else {}, deadline)


def _wait_or_refuse(path: Path, holder: Mapping[str, Any], deadline: float) -> None:
    """Wait while what holds the lock are the workers of a process that is gone."""
    lives = bool(holder) and (holder["host"] != socket.gethostname() or _lives(holder["process"]))
    if lives or time.monotonic() > deadline:
        who = f"process {holder['process']} on {holder['host']}" if holder else "another process"
        raise ResourceError(
            f"{path.parent} is in use by {who}, a run that has not ended; wait for it, stop it, or write to "
            "another folder"
        )
    time.sleep(0.1)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lives(process: int) -> bool:
    if os.name == "nt":
        return True  # there, the question would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _try_lock(descriptor: int, path: Path) -> bool:
    if os.name == "nt":
        return _try_lock_on_windows(descriptor)
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ResourceError(
            f"the disk of {path.parent} offers no locks ({error.strerror}), so two runs could mix there; "
            "write to another disk, or have it mounted with locks (Lustre: -o flock)"
        ) from error
    return True


def _try_lock_on_windows(descriptor: int) -> bool:
    import msvcrt

    os.lseek(descriptor, _NOWHERE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]  # Windows only
    except OSError:
        return False
    return True

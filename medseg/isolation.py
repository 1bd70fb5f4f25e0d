"""Run a reader in a child process with limits, so that a crash in a decoder is a refusal.

Decoders of images are large C libraries that were written for trusted files. The child gets a
limit on memory and time; what it reads comes back through anonymous memory that never has a name on
a disk; whatever it prints is thrown away, because libraries quote headers in their warnings. If
it dies, the file is refused and the program that asked lives on.

Windows has neither such limits nor inherited descriptors in this form; there the reader runs in
the calling process.
"""

import importlib
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from medseg import errors
from medseg.volume import Kind, Volume

POSSIBLE = os.name == "posix"


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
    limits = limits or Limits()
    request = {
        "reader": reader,
        "path": str(path.absolute()),
        "kind": kind,
        "options": options,
        "memory_bytes": limits.memory_bytes,
    }
    with _anonymous_file() as voxels:
        request["descriptor"] = voxels.fileno()
        with subprocess.Popen(
            [sys.executable, "-c", "from medseg.isolation import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[voxels.fileno()],
            # The child finds what this process finds, whatever was put on its path since it started.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as child:
            try:
                answer, _ = child.communicate(json.dumps(request).encode(), timeout=limits.seconds)
            except subprocess.TimeoutExpired:
                raise errors.VolumeError(
                    f"{path.name}: reading it took more than {limits.seconds:g} s and was stopped; "
                    "the file is damaged, or far larger than a scan"
                ) from None
            finally:
                child.kill()  # nothing happens to a child that has ended
        if child.returncode != 0:
            raise errors.VolumeError(f"{path.name}: {_cause_of_death(child.returncode, limits)}")
        return _volume(json.loads(answer), voxels)


def serve() -> None:
    """The child: read one request from standard input, answer on standard output."""
    # Whatever a library prints must not be taken for the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    request = json.load(sys.stdin)
    _limit_memory(request["memory_bytes"])
    try:
        module, _, name = request["reader"].partition(":")
        read = getattr(importlib.import_module(module), name)
        volume = read(Path(request["path"]), kind=request["kind"], **request["options"])
        reply = _send(volume, request["descriptor"])
    except errors.MedsegError as error:
        # A reader may raise a class of its own; the parent knows those of medseg.
        known = next(c for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
        reply = {"error": known.__name__, "message": str(error)}
    except OSError as error:
        name = Path(error.filename or request["path"]).name
        reply = {"error": "VolumeError", "message": f"{name} cannot be read: {error.strerror or error}"}
    except MemoryError:
        reply = {"error": "VolumeError", "message": f"{Path(request['path']).name}: {_memory(request)}"}
    with answer:
        json.dump(reply, answer)


def _send(volume: Volume, descriptor: int) -> dict[str, Any]:
    # Slices lie one after the other in what DICOM readers return: sent as they lie, nothing is copied.
    order: Literal["C", "F"] = "F" if volume.array.flags.f_contiguous else "C"
    array = np.asarray(volume.array, order=order)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(array.ravel(order=order).data)
    return {
        "type": array.dtype.str,
        "shape": array.shape,
        "order": order,
        "affine": volume.affine.tolist(),
        "kind": volume.kind,
        "notes": volume.notes,
        "modality": volume.modality,
        "unit": volume.unit,
    }


def _volume(reply: dict[str, Any], voxels: IO[bytes]) -> Volume:
    if "error" in reply:
        raise getattr(errors, reply["error"])(reply["message"])
    memory = mmap.mmap(voxels.fileno(), 0, access=mmap.ACCESS_READ)
    array = np.frombuffer(memory, reply["type"]).reshape(reply["shape"], order=reply["order"])
    return Volume(
        array,
        np.array(reply["affine"]),
        reply["kind"],
        tuple(reply["notes"]),
        modality=reply["modality"],
        unit=reply["unit"],
    )


def _anonymous_file() -> IO[bytes]:
    """A file without a name: memory on Linux, an unlinked temporary file elsewhere."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("medseg"), "w+b")
    return tempfile.TemporaryFile()


def _limit_memory(size: int) -> None:
    if sys.platform == "linux":  # macOS has the call, and does not keep to it
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _memory(request: dict[str, Any]) -> str:
    return (
        f"reading it needs more than {request['memory_bytes'] / 2**30:.3g} GiB of memory; "
        "the file is damaged, or far larger than a scan"
    )


def _cause_of_death(status: int, limits: Limits) -> str:
    if status >= 0:
        return f"its reader failed (exit status {status}); the file is damaged, or the reader has a fault"
    name = signal.Signals(-status).name
    return (
        f"its decoder crashed ({name}) within {limits.memory_bytes / 2**30:.3g} GiB; the file is damaged or "
        "hostile"
    )

"""The child process of ``medseg.isolation``: it forks a process for each file, which reads and ends.

What stays alive between files has imported the reader, and nothing else: it does not even read the
request. So no byte of a file, not its name, is in a process that reads another file.

A request on the socket is a line of JSON. The answer is a message of 9 bytes, a letter and a number: ``V``
for the length of the JSON that follows, with a descriptor of the voxels if there are any; ``E`` for the
exit status of the process that read, which follows when it has ended.
"""

import dataclasses
import gc
import importlib
import json
import os
import socket
import struct
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from medseg import errors, memory
from medseg.volume import Volume

MESSAGE = struct.Struct("<cq")
ANSWER, END = b"V", b"E"


def serve(descriptor: int, reader: str, *, fork: bool) -> None:
    """Answer requests until the program that asks is gone.

    Args:
        descriptor: of a socket.
        reader: import string of what will be called, imported before the first request.
        fork: read in a process of its own each time; else read once and end.
    """
    warnings.simplefilter("ignore")
    try:
        importlib.import_module(reader.partition(":")[0])
    except (Exception, SystemExit):  # noqa: BLE001  # whoever calls it meets this again, and reports it
        fork = False
    gc.collect()
    gc.freeze()  # nothing of what was imported is touched, and so copied, by a collection in a fork
    with socket.socket(fileno=descriptor) as channel:
        if not fork:
            _answer(channel)
        while channel.recv(1, socket.MSG_PEEK):
            process = os.fork()
            if process == 0:
                _answer(channel)
            _, status = os.waitpid(process, 0)
            channel.sendall(MESSAGE.pack(END, os.waitstatus_to_exitcode(status)))


def _answer(channel: socket.socket) -> NoReturn:
    """Read one request, answer it, end."""
    status = 1
    try:
        with channel.makefile("rb") as stream:
            request = json.loads(stream.readline())
        _limit_memory(request["memory_bytes"])
        memory.share()
        descriptors, reply = _call(request)
        content = json.dumps(reply).encode()
        socket.send_fds(channel, [MESSAGE.pack(ANSWER, len(content))], descriptors)
        channel.sendall(content)
        status = 0
    finally:
        os._exit(status)  # what a fork would do at its end is for its parent to do


def _call(request: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
    path = Path(request["path"])
    try:
        module, _, name = request["function"].partition(":")
        result = getattr(importlib.import_module(module), name)(path, **request["arguments"])
        if not isinstance(result, Volume):
            return [], {"items": [dataclasses.asdict(item) for item in result]}
        return _send(result)
    except errors.MedsegError as error:
        # A reader may raise a class of its own; the parent knows those of medseg.
        known = next(c for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
        return [], {"error": known.__name__, "message": str(error)}
    except OSError as error:
        name = Path(error.filename or path).name
        return [], {"error": "VolumeError", "message": f"{name} cannot be read: {error.strerror or error}"}
    except MemoryError:
        size = f"{request['memory_bytes'] / 2**30:.3g} GiB"
        message = (
            f"{path.name}: reading it needs more than {size} of memory; the file is damaged, or far larger"
        )
        return [], {"error": "VolumeError", "message": f"{message} than a scan"}


def _send(volume: Volume) -> tuple[list[int], dict[str, Any]]:
    array = volume.array
    # Slices lie one after the other in what DICOM readers return: sent as they lie.
    if not (array.flags.f_contiguous or array.flags.c_contiguous):
        array = array.copy(order="C")
    described = {
        "type": array.dtype.str,
        "shape": array.shape,
        "order": "F" if array.flags.f_contiguous else "C",
        "affine": volume.affine.tolist(),
        "kind": volume.kind,
        "notes": volume.notes,
        "modality": volume.modality,
        "unit": volume.unit,
    }
    return [memory.descriptor_of(array)], {"volume": described}


def _limit_memory(size: int) -> None:
    if sys.platform == "linux":  # macOS has the call, and does not keep to it
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))

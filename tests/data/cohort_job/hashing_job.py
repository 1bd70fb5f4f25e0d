"""A job without a network, so that its workers start at once: two files of hashes for each case.

What a case does to its worker is in its bytes: ``poison`` kills it, ``hang`` hangs, ``crash once`` kills
it the first time, ``big`` asks for too much memory unless a smaller plan is made, ``exit`` calls exit().
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

from medseg.batch.job import Report
from medseg.errors import ResourceError, VolumeError


class HashingJob:
    def __init__(self, *, seconds: float = 0.0, size: int = 2000, version: int = 1, load: str = "") -> None:
        if load:
            raise ResourceError(load)
        self.settings = {"version": version}
        self._seconds = seconds
        self._size = size

    def read(self, case):
        content = case.sources[0].read_bytes()
        if content.startswith(b"refuse"):
            raise VolumeError(f"{case.name}: it says so")
        return content

    def work(self, case, item, *, smaller, progress):
        word = item.split(b" ")[0]
        if word == b"poison" or (word == b"once" and not smaller):
            os.kill(os.getpid(), signal.SIGKILL)
        if word == b"hang" or (word == b"slow" and not smaller):
            time.sleep(600)
        if word == b"big" and not smaller:
            raise MemoryError("too big")
        if word == b"exit":
            sys.exit(7)
        if word == b"fault":
            raise ZeroDivisionError("MRN47110815")
        time.sleep(self._seconds)
        return hashlib.sha512(item).hexdigest()

    def write(self, case, item, folder: Path):
        for path in case.files:
            (folder / path.name).write_text(f"{path.suffix} {item}\n" * (self._size // 100))
        return Report(result={"hash": item[:8]}, measured={"process": os.getpid()})

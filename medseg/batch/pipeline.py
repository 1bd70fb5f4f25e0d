"""One process's part of a batch: one case is read and another written while a third is worked on.

Three threads and two queues of one place each, so that memory is bounded. numpy, zlib and torch let go of
Python's lock while they work. Every case that comes in is answered: done, or failed with the stage and
the reason; nothing that a stage raises ends the process.
"""

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from medseg.atomic import explain, publish
from medseg.batch.cases import Case
from medseg.batch.job import Job
from medseg.batch.journal import sha256_of_files
from medseg.errors import ContractError, MedsegError, ResourceError, VolumeError
from medseg.progress import Progress

Stage = Literal["read", "work", "write"]
Message = Mapping[str, Any]
Send = Callable[[Message], None]
_MOST_PROGRESS_S = 0.25  # between two messages of progress


@dataclass(frozen=True, kw_only=True)
class Order:
    """A case to be done.

    Args:
        number: of the case in its batch.
        case: what it is.
        smaller: with less memory, and nothing beside it: it failed before.
    """

    number: int
    case: Case
    smaller: bool

    def as_json(self) -> dict[str, Any]:
        """For a worker."""
        return {"number": self.number, "case": self.case.as_json(), "smaller": self.smaller}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Order":
        """What ``as_json`` described."""
        return cls(
            number=described["number"],
            case=Case.from_json(described["case"]),
            smaller=described["smaller"],
        )


class Pipeline:
    """Runs a job's stages on cases.

    Args:
        job: what is done.
        folder: for files that are not complete; on the disk of the results.
        send: called with a message for each stage that begins, and for the end of each case.
    """

    def __init__(self, job: Job, folder: Path, send: Send) -> None:
        self._job = job
        self._folder = folder
        self._send = send
        self._publishing = threading.RLock()

    def run(self, orders: Iterable[Order]) -> None:
        """Do cases until there are no more; returns when the last is answered."""
        to_work: queue.Queue[tuple[Order, Any, str] | None] = queue.Queue(1)
        to_write: queue.Queue[tuple[Order, Any, str] | None] = queue.Queue(1)

        def read() -> None:
            for order in orders:
                what = self._attempt("read", order, partial(self._read, order))
                if what is not None:
                    to_work.put((order, *what))
            to_work.put(None)

        def write() -> None:
            while (ready := to_write.get()) is not None:
                order, item, digest = ready
                self._attempt("write", order, partial(self._write, order, item, digest))
                del ready, item

        threads = [threading.Thread(target=read, daemon=True), threading.Thread(target=write, daemon=True)]
        for thread in threads:
            thread.start()
        while (ready := to_work.get()) is not None:
            order, item, digest = ready
            result = self._attempt("work", order, partial(self._work, order, item))
            if result is not None:
                to_write.put((order, *result, digest))
            del ready, item, result  # the next case is waited for with nothing held
        to_write.put(None)
        for thread in threads:
            thread.join()

    def leave(self) -> None:
        """End the process, but not while another thread moves files to their places."""
        self._publishing.acquire()
        os._exit(1)

    def _read(self, order: Order) -> tuple[Any, str]:
        digest = sha256_of_files(order.case.sources)
        return self._job.read(order.case), digest

    def _work(self, order: Order, item: Any) -> tuple[Any]:
        last = 0.0

        def progress(event: Progress) -> None:
            nonlocal last
            if time.monotonic() - last > _MOST_PROGRESS_S:
                last = time.monotonic()
                self._send(
                    {
                        "progress": order.number,
                        "stage": event.stage,
                        "done": event.done,
                        "total": event.total,
                    }
                )

        return (self._job.work(order.case, item, smaller=order.smaller, progress=progress),)

    def _write(self, order: Order, item: Any, digest: str) -> bool:
        case = order.case
        try:
            report = self._job.write(case, item, self._folder)
        except OSError as error:
            raise explain(case.target if case.files else self._folder, error) from error
        hashes = {path.name: sha256_of_files([self._folder / path.name]) for path in case.files}
        with self._publishing:
            if case.files:
                publish(self._folder, case.files)
            self._send(
                {
                    "done": order.number,
                    "input": digest,
                    "files": hashes,
                    "result": dict(report.result),
                    "measured": dict(report.measured),
                }
            )
        return True

    def _attempt(self, stage: Stage, order: Order, call: Callable[[], Any]) -> Any:
        """What a stage gives; None if it failed, which was said then."""
        self._send({"stage": stage, "number": order.number})
        try:
            result = call()
        # Not Exception alone: a plugin may call exit().
        except BaseException as error:  # noqa: BLE001  # answered for this case; the others go on
            for path in order.case.files:
                (self._folder / path.name).unlink(missing_ok=True)
            self._send(
                {
                    "failed": order.number,
                    "stage": stage,
                    "kind": _kind(error, stage),
                    **describe_error(error),
                }
            )
            return None
        if stage != "write":  # which ends with a message of its own
            self._send({"stage": "wait", "number": order.number})
        return result


def describe_error(error: BaseException) -> dict[str, str]:
    """An error's name, sentence and traceback, as JSON."""
    known = isinstance(error, MedsegError)
    return {
        "error": type(error).__name__,
        "reason": str(error) if known else f"{type(error).__name__}: {error}",
        "traceback": "" if known else "".join(traceback.format_exception(error)),
        "where": _where(error),
    }


def _where(error: BaseException) -> str:
    """The line of code that raised, which says nothing of a patient, as the error's sentence may."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _kind(error: BaseException, stage: Stage) -> str:
    """``refused``; ``memory``, worth another attempt; ``environment``, the end of all; or ``failed``."""
    if isinstance(error, VolumeError | ContractError):
        return "refused"
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return "memory"
    if isinstance(error, ResourceError):
        # A case may need more memory than there is; a disk that is full is full for the next one too.
        return "environment" if stage == "write" else "memory"
    return "environment" if isinstance(error, ImportError) else "failed"


def _is_out_of_memory(error: BaseException) -> bool:
    room: Any = sys.modules.get("medseg.inference.room")  # which imports torch; without it no network ran
    return room is not None and bool(room.ran_out(error))

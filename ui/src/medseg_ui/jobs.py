"""Work in child processes: a queue for each kind of work, progress, and a stop that really stops.

A thread could not be stopped, and would slow down everybody's pages; a process of its own frees all
memory at its end, and may crash without harm.
"""

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["waiting", "running", "done", "refused", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "refused", "failed", "cancelled")

# Shares of a segmentation's time, for a bar that moves evenly; a stage that a model lacks is skipped.
_STAGES = {
    "start": 0.06,
    "read": 0.04,
    "locate": 0.25,
    "prepare": 0.1,
    "network": 0.42,
    "attention": 0.0,
    "restore": 0.06,
    "finish": 0.02,
    "measure": 0.05,
}
_GRACE_SECONDS = 3.0
_OUT_OF_MEMORY = (
    "The system stopped it, most likely because memory ran out. Close other programs, or use a smaller "
    "volume or another model."
)


@dataclass(kw_only=True)
class Job:
    """One piece of work and what has become of it.

    Args:
        owner: who may see it.
        task: what the child does: a ``kind`` of ``medseg_ui.tasks`` and its arguments.
        folder: the child's own; ``outcome.json`` appears there.
        title: for people.
        on_end: called in the manager's thread when the job has ended.
        memory_bytes: what it is predicted to need at its peak; 0 until that is known.
    """

    owner: str
    task: Mapping[str, Any]
    folder: Path
    title: str
    on_end: "Callable[[Job], None]"
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    state: State = "waiting"
    stage: str = ""
    fraction: float = 0.0
    memory_bytes: int = 0
    message: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """Which task."""
        return str(self.task["kind"])

    @property
    def seconds(self) -> float:
        """How long it has run, or ran."""
        return (self.ended or time.monotonic()) - self.started if self.started else 0.0

    @property
    def seconds_left(self) -> float | None:
        """A guess from what has been done; None while that would be a wild one."""
        if self.state != "running" or self.fraction < 0.1:
            return None
        return self.seconds * (1 - self.fraction) / self.fraction


class JobManager:
    """Runs jobs, some at a time, in the order in which they came.

    Args:
        models_at_once: segmentations side by side; each wants a device and memory of its own.
        others_at_once: reading, measuring and comparing, which never wait for a segmentation.
    """

    def __init__(self, *, models_at_once: int = 1, others_at_once: int = 2) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._lanes = {"segment": queue.SimpleQueue[Job | None](), "other": queue.SimpleQueue[Job | None]()}
        self._threads = [
            threading.Thread(target=self._serve, args=(self._lanes[lane],), daemon=True)
            for lane, count in (("segment", models_at_once), ("other", others_at_once))
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Job:
        """Put a job at the end of its queue."""
        (job.folder / "task.json").write_text(json.dumps(dict(job.task)), encoding="utf-8")
        with self._lock:
            self._jobs[job.id] = job
        self._lanes[_lane(job)].put(job)
        return job

    def of(self, owner: str) -> list[Job]:
        """An owner's jobs, the oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if job.owner == owner]

    def ahead(self, job: Job) -> int:
        """How many jobs, anybody's, run or wait before this one."""
        count = 0
        with self._lock:
            for other in self._jobs.values():
                if other is job:
                    break
                count += other.state not in ENDED and _lane(other) == _lane(job)
        return count

    def cancel(self, job: Job) -> None:
        """Ask a job to stop, and kill it if it has not after some seconds; returns at once."""
        with self._lock:
            if job.state in ENDED:
                return
            job.state = "cancelled" if job.state == "waiting" else job.state
            process = job.process
        if process is None:
            job.message = "Cancelled before it began."
            job.on_end(job)
            return
        job.stage = "stopping"
        _signal_group(process, signal.SIGTERM)
        threading.Thread(target=_kill_later, args=(process,), daemon=True).start()

    def forget(self, owner: str) -> None:
        """Stop and remove all jobs of an owner."""
        for job in self.of(owner):
            self.cancel(job)
        with self._lock:
            self._jobs = {key: job for key, job in self._jobs.items() if job.owner != owner}

    def close(self) -> None:
        """Kill what runs and end the threads."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            if job.process is not None:
                _signal_group(job.process, signal.SIGKILL)
            elif job.state == "waiting":
                job.state = "cancelled"
        for lane in self._lanes.values():
            for _ in self._threads:
                lane.put(None)

    def _serve(self, lane: "queue.SimpleQueue[Job | None]") -> None:
        while (job := lane.get()) is not None:
            with self._lock:
                if job.state != "waiting":
                    continue
                job.state, job.started = "running", time.monotonic()
                job.process = _start(job.folder)
            self._follow(job, job.process)

    def _follow(self, job: Job, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None  # it was started with a pipe
        with process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a line not of the protocol
                    event = json.loads(line)
                    _advance(job, str(event["stage"]), event["done"] / max(event["total"], 1))
                    job.memory_bytes = int(event.get("memory_bytes", job.memory_bytes))
        status = process.wait()
        state, message, outcome = _read_outcome(job, status)
        job.ended, job.message, job.outcome = time.monotonic(), message, outcome
        job.process = None
        if state == "done":
            job.fraction = 1.0
        job.state = state
        job.on_end(job)


def _lane(job: Job) -> str:
    return "segment" if job.kind == "segment" else "other"


def _start(folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(  # noqa: S603  # this interpreter, our module, a folder that we made
            [sys.executable, "-m", "medseg_ui.worker", str(folder)],
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that its own children can be stopped with it
        )


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _kill_later(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)


def _advance(job: Job, stage: str, share: float) -> None:
    if job.stage == "stopping":
        return
    job.stage = stage
    if job.kind == "refine":
        job.fraction = max(job.fraction, share)
    elif stage in _STAGES:
        names = list(_STAGES)
        before = sum(_STAGES[name] for name in names[: names.index(stage)])
        job.fraction = max(job.fraction, before + share * _STAGES[stage])


def _read_outcome(job: Job, status: int) -> tuple[State, str, Mapping[str, Any]]:
    try:
        outcome = json.loads((job.folder / "outcome.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        if job.stage == "stopping":
            return "cancelled", "Cancelled; nothing was kept of it.", {}
        if status == -signal.SIGKILL:
            return (
                "failed",
                _OUT_OF_MEMORY,
                {},
            )
        return "failed", f"It ended with status {status} and left no result; its log may say why.", {}
    return outcome["state"], outcome.get("message", ""), outcome

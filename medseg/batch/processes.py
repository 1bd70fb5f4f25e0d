"""Workers as processes of this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from medseg.batch.job import Recipe
from medseg.batch.pipeline import Order
from medseg.batch.supervisor import Events, scratch_of


class ProcessWorker:
    """One worker process; its death is an event like its messages.

    Args:
        number: of the worker.
        events: where its messages go, with the number.
        recipe: of the job.
        folder: of the results.
        environment: variables over those of this process.
        share: descriptors that it inherits: the journal's lock.
        say: called with each line that it prints.
    """

    def __init__(
        self,
        number: int,
        events: Events,
        *,
        recipe: Recipe,
        folder: Path,
        environment: Mapping[str, str],
        share: Sequence[int],
        say: Callable[[str], None],
    ) -> None:
        self._number = number
        self._events = events
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from medseg.batch.worker import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=share if os.name == "posix" else (),
            # The child finds what this process finds, whatever was put on its path since it started.
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Ctrl-C in a terminal goes to every process of the group; only this one shall heed it.
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._listening = [
            threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=_pass_on, args=(self._process.stderr, say), daemon=True),
        ]
        for thread in self._listening:
            thread.start()
        scratch = str(scratch_of(folder, number).absolute())
        self._write({"factory": recipe.factory, "options": dict(recipe.options), "folder": scratch})

    def send(self, order: Order) -> None:
        """Give it a case."""
        self._write(order.as_json())

    def end(self) -> None:
        """Say that no more cases come."""
        self._write({"end": True})

    def stop(self) -> None:
        """Close its standard input: it ends when no file is being moved to its place."""
        try:
            self._stdin.close()
        except BrokenPipeError:
            return  # it has ended

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def join(self, seconds: float) -> bool:
        """Wait for its end, and until all that it said was heard; whether it came."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        for thread in self._listening:
            thread.join(seconds + 1)
        self.stop()
        return True

    def _write(self, message: Mapping[str, Any]) -> None:
        try:
            self._stdin.write(json.dumps(message) + "\n")
            self._stdin.flush()
        except (BrokenPipeError, ValueError):
            return  # it has ended: that is an event of its own

    def _listen(self, answers: IO[str]) -> None:
        with answers:
            for line in answers:
                if line.endswith("\n"):  # else it was cut off by its death
                    self._events.put((self._number, json.loads(line)))
        self._events.put((self._number, {"died": _how(self._process.wait())}))


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "SIGKILL: by the system for want of memory, or by somebody"
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _pass_on(lines: IO[str], say: Callable[[str], None]) -> None:
    with lines:
        for line in lines:
            say(line.rstrip("\n"))

"""Threads that share the tasks of a layer."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

_TURNS = 12  # that each thread takes, so that none waits long for the last


class Crew:
    """A number of threads, the caller's among them; the others end with the ``with``."""

    def __init__(self, size: int) -> None:
        self._others: ThreadPoolExecutor | None = ThreadPoolExecutor(size - 1) if size > 1 else None
        self._size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._others:
            self._others.shutdown()
            self._others = None  # what is still asked for, its caller does alone

    def share(self, tasks: int, begin: Callable[[], Callable[[int, int], None]]) -> None:
        """Do tasks 0 to before ``tasks``, each once, by whoever is free.

        Args:
            tasks: how many there are.
            begin: called by each thread; what it returns does the tasks from one to before another.
        """
        at_once = max(1, tasks // (_TURNS * self._size))
        left, taking = iter(range(0, tasks, at_once)), threading.Lock()

        def take() -> int | None:
            with taking:
                return next(left, None)

        def work() -> None:
            do = begin()
            while (first := take()) is not None:
                do(first, min(first + at_once, tasks))

        helpers = min(self._size, tasks) - 1
        others = [self._others.submit(work) for _ in range(helpers)] if self._others else []
        try:
            work()
        finally:
            wait(others)  # they write to the caller's arrays
        for other in others:
            other.result()

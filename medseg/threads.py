"""Work on parts of an array in as many threads as torch takes: numpy lets go of Python's lock."""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

MOST = 4  # more would wait for the memory

Part = TypeVar("Part")
Result = TypeVar("Result")


def share(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """What a function makes of each part, in order; one after the other where torch is not at work.

    The parts are the same for any number of threads, so that the results are, too. There are at most ``MOST``
    threads, each with the memory for one part, and they end before this returns.
    """
    torch = sys.modules.get("torch")  # nobody waits for its import here
    every = list(parts)
    able = torch.get_num_threads() if torch and hasattr(torch, "get_num_threads") else 1
    size = min(MOST, able, len(every))
    if size <= 1:
        return [work(part) for part in every]
    with ThreadPoolExecutor(size) as threads:
        # Each in the caller's context, which says whether large arrays go to the disk.
        waiting = [threads.submit(copy_context().run, work, part) for part in every]
        return [done.result() for done in waiting]

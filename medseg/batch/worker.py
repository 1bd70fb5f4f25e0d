"""A worker process: makes the job for itself, and does the cases that come on standard input.

Messages are JSON, one a line, in on standard input and out on standard output; what libraries print
goes to standard error. When standard input ends without a word, whoever sent the cases is gone or wants
an end at once: files that are being moved are moved, and the process ends.
"""

import json
import os
import queue
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medseg.batch.job import Recipe
from medseg.batch.pipeline import Order, Pipeline, Send, describe_error
from medseg.errors import MedsegError


def serve() -> None:
    """Answer a recipe with ``ready`` or ``unready``, and each order with how it ended."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    writing = threading.Lock()
    orders: queue.Queue[Order | None] = queue.Queue()
    holder: list[Pipeline] = []

    def send(message: Mapping[str, Any]) -> None:
        try:
            with writing:
                answers.write(json.dumps(message) + "\n")
                answers.flush()
        except BrokenPipeError:
            # Nobody is there to be answered. The lock is free again: who moves files may wait for it.
            _leave(holder)

    request = json.loads(sys.stdin.readline())
    warnings.filterwarnings("ignore", module=r"torch\..*")
    threading.Thread(target=_listen, args=(orders, holder), daemon=True).start()
    pipeline = make_ready(request, send)
    if pipeline is not None:
        holder.append(pipeline)
        pipeline.run(iter(orders.get, None))
    answers.close()
    os._exit(0)  # the thread that reads standard input may hold its lock, which Python would wait for


def make_ready(request: Mapping[str, Any], send: Send) -> Pipeline | None:
    """The job's pipeline, and a message that it is there; or None, and a message why not."""
    try:
        job = Recipe(factory=request["factory"], options=request["options"]).make()
    # Not Exception alone: a plugin may call exit().
    except BaseException as error:  # noqa: BLE001  # sent to who asked, and raised there
        known = next((c.__name__ for c in type(error).__mro__ if issubclass(c, MedsegError)), "")
        send({"unready": known, **describe_error(error), "sentence": str(error)})
        return None
    folder = Path(request["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    send({"ready": dict(job.settings), "gpus": _gpus()})
    return Pipeline(job, folder, send)


def _listen(orders: "queue.Queue[Order | None]", holder: list[Pipeline]) -> None:
    for line in _lines():
        message = json.loads(line)
        if "end" in message:
            orders.put(None)
            return
        orders.put(Order.from_json(message))
    _leave(holder)


def _leave(holder: list[Pipeline]) -> None:
    if holder:
        holder[0].leave()
    os._exit(1)


def _lines() -> Iterator[str]:
    while line := sys.stdin.readline():
        yield line


def _gpus() -> int:
    torch = sys.modules.get("torch")
    return int(torch.cuda.device_count()) if torch is not None else 0

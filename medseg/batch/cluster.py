"""Workers as actors of a Ray cluster: one for each GPU, or one for each node without.

Each holds the job's model and runs the same pipeline as a worker process; messages and orders travel
through Ray, the cases' files through the disk that all nodes share. An actor that outlives its run (the
process that began it was killed, and Ray has not noticed yet) is ended before the next run writes.

Ray calls an actor's methods at most once when the actor dies, and says so; who does a case again is the
supervisor, as for processes. So a case may be begun twice, and appears once, with the same bytes.
"""

import contextlib
import hashlib
import importlib
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medseg.batch.job import Recipe
from medseg.batch.pipeline import Order, Pipeline
from medseg.batch.supervisor import Events, scratch_of
from medseg.batch.worker import make_ready
from medseg.errors import ResourceError

_LOCAL = "local"
_PATIENT_S = 60.0  # for the cluster to give a place, before people are told
_LISTEN_S = 1.0


class Cluster:
    """A connection to a Ray cluster for one run.

    Args:
        address: ``auto``, ``host:port``, ``ray://host:port``, or ``local`` for one on this machine.
        folder: of the results, on a disk that every node has under this path.
        workers: actors; None for one for each GPU, or for each node without.

    Raises:
        ResourceError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str, *, folder: Path, workers: int | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ResourceError("Ray is not installed: pip install 'medseg[ray]'") from error
        _knock(address)
        self._ray = ray
        self._folder = folder.absolute()
        # The actors' names are the folder's: who holds its lock finds those that another run left.
        self._namespace = "medseg-" + hashlib.sha256(str(self._folder).encode()).hexdigest()[:16]
        try:
            ray.init(
                address=None if address == _LOCAL else address,
                namespace=self._namespace,
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
                log_to_driver=False,
                logging_level="ERROR",
                include_dashboard=False if address == _LOCAL else None,
            )
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            reason = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
            raise ResourceError(
                f"no Ray cluster answers at {address!r}: {reason}. ray status says whether one runs here"
            ) from error
        gpus = int(ray.cluster_resources().get("GPU", 0))
        nodes = sum(node["Alive"] for node in ray.nodes())
        self.workers = workers or gpus or max(1, nodes)
        cores = int(ray.cluster_resources().get("CPU", 1)) // self.workers
        self._resources = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": max(1, cores)}
        self._token = f"{socket.gethostname()} {os.getpid()} {time.time_ns()}"
        for name in ray.util.list_named_actors():
            with contextlib.suppress(ValueError):  # it ended meanwhile
                ray.kill(ray.get_actor(name))

    def mark(self) -> None:
        """Write a file that a node sees if it has the same folder under the same path."""
        scratch = scratch_of(self._folder, 0).parent
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "token").write_text(self._token)

    def launch(
        self, number: int, events: Events, *, recipe: Recipe, say: Callable[[str], None]
    ) -> "RayWorker":
        """Start the actor of a number."""
        request = {
            "factory": recipe.factory,
            "options": dict(recipe.options),
            "folder": str(scratch_of(self._folder, number)),
            "token": self._token,
        }
        actor = (
            self._ray.remote(_Actor)
            .options(
                name=f"worker-{number}",
                max_concurrency=4,
                max_restarts=0,
                scheduling_strategy="SPREAD",
                **self._resources,
            )
            .remote(request)
        )
        return RayWorker(number, events, ray=self._ray, actor=actor, say=say)

    def close(self) -> None:
        """Let go of the cluster; actors that are left end with that."""
        self._ray.shutdown()


class RayWorker:
    """One actor, as the supervisor knows workers; its death is an event like its messages."""

    def __init__(
        self, number: int, events: Events, *, ray: Any, actor: Any, say: Callable[[str], None]
    ) -> None:
        self._number = number
        self._events = events
        self._ray = ray
        self._actor = actor
        self._say = say
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def send(self, order: Order) -> None:
        """Give it a case."""
        self._actor.order.remote(order.as_json())

    def end(self) -> None:
        """Say that no more cases come."""
        self._actor.order.remote(None)

    def stop(self) -> None:
        """Make it end at once, but between files."""
        self._actor.leave.remote()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._ray.kill(self._actor, no_restart=True)

    def join(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _listen(self) -> None:
        begun, told = time.monotonic(), False
        try:
            while True:
                pending = self._actor.messages.remote()
                while not self._ray.wait([pending], timeout=_LISTEN_S)[0]:
                    if not told and time.monotonic() - begun > _PATIENT_S:
                        told = True
                        self._say(
                            f"worker {self._number} waits for the cluster or loads its model: ray status"
                        )
                messages = self._ray.get(pending)
                begun, told = time.monotonic(), True
                for message in messages:
                    if "ended" in message:
                        self._died("ended")
                        return
                    self._events.put((self._number, message))
        except self._ray.exceptions.RayError as error:
            self._died(_sentence(error))

    def _died(self, how: str) -> None:
        self._events.put((self._number, {"died": how}))


class _Actor:
    """The pipeline in an actor; several of its methods run at once."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        # What libraries print may quote a header, and Ray keeps what its workers print.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        self._messages: queue.Queue[Mapping[str, Any]] = queue.Queue()
        self._orders: queue.Queue[Order | None] = queue.Queue()
        self._pipeline = self._make(request)
        threading.Thread(target=self._run, daemon=True).start()

    def order(self, described: Mapping[str, Any] | None) -> None:
        """Take a case in; None: there are no more."""
        self._orders.put(None if described is None else Order.from_json(described))

    def messages(self) -> list[Mapping[str, Any]]:
        """What there is to say; after a while without anything, nothing."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._messages.get(timeout=_LISTEN_S))
            while True:
                found.append(self._messages.get_nowait())
        return found

    def leave(self) -> None:
        """End the process, but not while files are moved."""
        if self._pipeline:
            self._pipeline.leave()
        os._exit(1)

    def _make(self, request: Mapping[str, Any]) -> Pipeline | None:
        token = Path(request["folder"]).parent / "token"
        if not token.exists() or token.read_text() != request["token"]:
            sentence = (
                f"the node {socket.gethostname()} does not see {token.parent.parent}, where the results go; "
                "every node must have inputs and results under the same paths, on a disk that they share"
            )
            self._messages.put({"unready": "ResourceError", "sentence": sentence})
            return None
        return make_ready(request, self._messages.put)

    def _run(self) -> None:
        if self._pipeline:
            self._pipeline.run(iter(self._orders.get, None))
        self._messages.put({"ended": True})


def _knock(address: str) -> None:
    """Ray waits minutes for an address where nothing is; a connection is refused at once."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            return
    except OSError as error:
        raise ResourceError(
            f"no Ray cluster answers at {address!r}: {error.strerror or error}. ray status says whether one "
            "runs here"
        ) from error


def _sentence(error: Exception) -> str:
    """What Ray says first of a death; the rest are ids, and advice for its own authors."""
    first = str(error).strip().splitlines()[:1]
    return f"Ray: {first[0].partition('. ')[0].rstrip('.')}" if first else f"Ray: {type(error).__name__}"

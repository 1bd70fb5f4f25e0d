"""Keeps workers busy and alive until every case has its outcome.

A worker that dies takes nobody with it: the cases that it had are done again, one at a time, since one of
them may be the reason. A case that fails for want of memory, that takes too long or that was with a
worker when it died has one more attempt, alone and with a smaller plan; after that it is set aside with
the reason. What the environment refuses (a full disk) ends the batch: the next case would meet it too.
"""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from medseg import errors
from medseg.batch.cases import Case
from medseg.batch.job import Report
from medseg.batch.journal import Journal
from medseg.batch.outcome import Outcome, Status
from medseg.batch.pipeline import Order
from medseg.batch.sorting import Standing, sort_cases
from medseg.errors import MedsegError, ResourceError

_DEPTH = 3  # cases with a worker at once: one is read, one worked on, one written
_MOST_IDLE_DEATHS = 5  # of workers, one after another, before any case is done
_END_S = 5.0  # for workers to end, once nothing more is wanted of them
_TICK_S = 0.2
Events = queue.Queue[tuple[int, Mapping[str, Any]]]


class Worker(Protocol):
    """A process somewhere that runs a ``Pipeline``; its messages come as events, ``died`` the last."""

    def send(self, order: Order) -> None:
        """Give it a case."""

    def end(self) -> None:
        """Say that no more cases come."""

    def stop(self) -> None:
        """Make it end at once, but between files."""

    def kill(self) -> None:
        """End it, whatever it does."""

    def join(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""


Launch = Callable[[int, Events], Worker]


@dataclass(kw_only=True)
class Running:
    """A case that is with a worker: since when in which stage, and the seconds in stages before."""

    order: Order
    stage: str = "wait"
    since: float = field(default_factory=time.monotonic)
    before: float = 0.0
    window: tuple[str, int, int] = ("", 0, 0)

    @property
    def seconds(self) -> float:
        """In stages, without the time in queues between them."""
        return self.before + (time.monotonic() - self.since if self.stage != "wait" else 0.0)

    def enter(self, stage: str) -> None:
        """A stage begins; until then the case waited since the last one ended, which nobody said."""
        self.before, self.stage, self.since = self.seconds, stage, time.monotonic()


@dataclass(kw_only=True)
class Member:
    """One worker of the crew.

    Args:
        worker: the process.
        ready: whether its job is made.
        running: its cases, by number.
        alone: whether it has a case that failed before, and nothing beside it.
        reason: why it was killed, by us.
    """

    worker: Worker
    ready: bool = False
    running: dict[int, Running] = field(default_factory=dict)
    alone: bool = False
    guilty: int | None = None


class Supervisor:
    """Runs cases through workers and a journal.

    Args:
        cases: all of the batch.
        journal: open and locked, not yet begun.
        launch: starts the worker of a number; its messages go to the given queue.
        workers: how many; None for one for each GPU that the first one sees, or one.
        timeout_s: for one attempt at one case, without waiting.
        overwrite: do everything again.
        notify: called with a sentence when something happens that people should know.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        journal: Journal,
        launch: Launch,
        workers: int | None = 1,
        timeout_s: float = float("inf"),
        overwrite: bool = False,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.cases = cases
        self.crew: dict[int, Member] = {}
        self.counts = {"done": 0, "kept": 0, "refused": 0, "failed": 0}
        self._journal = journal
        self._launch = launch
        self._wanted = workers
        self._timeout_s = timeout_s
        self._overwrite = overwrite
        self._notify = notify
        self._events: Events = queue.Queue()
        self._standing: queue.Queue[Standing | BaseException] = queue.Queue()
        self._unsorted = len(cases)
        self._waiting: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._attempts: dict[int, int] = {}
        self._open: set[int] = set(range(len(cases)))
        self._launched = 0
        self._idle_deaths = 0
        self._settings: Mapping[str, Any] | None = None

    @property
    def begun(self) -> bool:
        """Whether a worker was ready and the journal took the run in."""
        return self._settings is not None

    def run(self) -> Iterator[Outcome]:
        """Each case's outcome, as it comes.

        Raises:
            OptionError: the folder holds results of other settings; or what the job's maker raised.
            ResourceError: the environment refused, or workers die without a case being the reason.
        """
        try:
            self._start_worker()
            while self._open:
                yield from self._sorted()
                self._dispatch()
                with contextlib.suppress(queue.Empty):
                    yield from self._handle(*self._events.get(timeout=_TICK_S))
                    while True:
                        yield from self._handle(*self._events.get_nowait())
                self._end_the_overdue()
            for member in self.crew.values():
                member.worker.end()
            self._join()
        except BaseException:
            self._stop()
            self._take_away_halves()
            if self._settings is not None:
                with contextlib.suppress(ResourceError):  # what is raised already says more
                    self._journal.end("stopped")
            raise
        self._take_away_halves()
        self._journal.end("finished")

    def _start_worker(self) -> None:
        number = self._launched
        self._launched += 1
        self.crew[number] = Member(worker=self._launch(number, self._events))

    def _begin(self, settings: Mapping[str, Any], gpus: int) -> None:
        """The first worker is ready: now it is known what the results depend on."""
        if self._settings is None:
            self._journal.begin(settings, overwrite=self._overwrite)
            self._settings = settings
            if self._wanted is None:
                self._wanted = max(1, gpus)
            threading.Thread(target=self._sort, daemon=True).start()
            for _ in range(min(self._wanted, len(self.cases)) - 1):
                self._start_worker()
        elif settings != self._settings:
            raise ResourceError(
                "a worker would make other results than the first: "
                + "; ".join(k for k in settings if settings[k] != self._settings.get(k))
                + " differ. Install the same versions everywhere"
            )

    def _sort(self) -> None:
        try:
            sort_cases(self.cases, self._journal, self._standing.put, overwrite=self._overwrite)
        except BaseException as error:  # noqa: BLE001  # a thread's error is nobody's: ``run`` raises it
            self._standing.put(error)

    def _sorted(self) -> Iterator[Outcome]:
        """What is known by now of cases that were there before."""
        while self._unsorted:
            try:
                standing = self._standing.get_nowait()
            except queue.Empty:
                return
            if isinstance(standing, BaseException):
                raise standing
            number, verdict, reason = standing
            self._unsorted -= 1
            case = self.cases[number]
            if verdict == "todo":
                self._waiting.append(number)
            elif verdict == "suspect":
                self._suspects.append(number)
            elif verdict == "kept":
                done = self._journal.trusted(case.name)
                assert done is not None  # it was just compared
                yield self._close(
                    number, Outcome(case=case, status="done", kept=True, report=self._journal.report(done))
                )
            else:
                yield self._close(number, Outcome(case=case, status="refused", reason=reason))

    def _dispatch(self) -> None:
        orders = [
            (member, order)
            for member in self.crew.values()
            if member.ready and member.guilty is None
            for order in self._orders_for(member)
        ]
        for _, order in orders:
            self._journal.claim(order.case.name)
        if orders:
            self._journal.sync()
        for member, order in orders:
            member.worker.send(order)

    def _orders_for(self, member: Member) -> Iterator[Order]:
        while self._waiting and len(member.running) < _DEPTH and not member.alone:
            yield self._give(member, self._waiting.popleft(), smaller=False)
        if self._suspects and not member.running and not self._unsorted:
            member.alone = True
            yield self._give(member, self._suspects.popleft(), smaller=True)

    def _give(self, member: Member, number: int, *, smaller: bool) -> Order:
        order = Order(number=number, case=self.cases[number], smaller=smaller)
        member.running[number] = Running(order=order)
        return order

    def _handle(self, worker: int, message: Mapping[str, Any]) -> Iterator[Outcome]:
        member = self.crew[worker]
        if "stage" in message and "number" in message:
            member.running[message["number"]].enter(message["stage"])
        elif "progress" in message:
            running = member.running[message["progress"]]
            running.window = (message["stage"], message["done"], message["total"])
        elif "done" in message:
            yield self._done(member, message)
        elif "failed" in message:
            yield from self._failed(member, message)
        elif "ready" in message:
            member.ready = True
            self._begin(message["ready"], message["gpus"])
        elif "unready" in message:
            raise _as_error(message)
        elif "died" in message:
            yield from self._died(worker, member, message["died"])

    def _done(self, member: Member, message: Mapping[str, Any]) -> Outcome:
        number = message["done"]
        member.running.pop(number, None)
        member.alone = False
        self._idle_deaths = 0
        case = self.cases[number]
        report = Report(result=message["result"], measured=message["measured"])
        self._journal.done(
            case.name,
            source_sha256=message["input"],
            options_sha256=case.options_sha256,
            files=message["files"],
            report=report,
        )
        return self._close(number, Outcome(case=case, status="done", report=report))

    def _failed(self, member: Member, message: Mapping[str, Any]) -> Iterator[Outcome]:
        number, kind = message["failed"], message["kind"]
        member.running.pop(number, None)
        member.alone = False
        case = self.cases[number]
        if kind == "environment":
            raise ResourceError(message["reason"])
        if kind == "memory" and self._retry(number, message["reason"]):
            return
        status: Status = "refused" if kind == "refused" else "failed"
        # An error that is not medseg's own may quote a header: the journal says where it was raised.
        own = not message["traceback"]
        reason = message["reason"] if own else f"{message['error']} in {message['where']}"
        self._set_aside(case, status, reason)
        outcome = Outcome(case=case, status=status, reason=message["reason"], traceback=message["traceback"])
        yield self._close(number, outcome)

    def _died(self, worker: int, member: Member, how: str) -> Iterator[Outcome]:
        del self.crew[worker]
        member.worker.join(_END_S)  # it has ended: this lets go of what is left of it
        if self._open:
            self._idle_deaths += not member.running
            if self._idle_deaths >= _MOST_IDLE_DEATHS:
                raise ResourceError(
                    f"{_MOST_IDLE_DEATHS} worker processes died one after another with no case to blame, the "
                    f"last: {how}. Is there enough memory to load the model? medseg doctor says more"
                )
        for number, running in member.running.items():
            if member.guilty is not None and number != member.guilty:
                self._waiting.appendleft(number)  # its neighbour took too long; it did not
                continue
            reason = (
                f"it took more than {self._timeout_s:g} s and was stopped; --case-timeout allows more"
                if number == member.guilty
                else f"the worker process died ({how}) while it was at: {running.stage}"
            )
            if not self._retry(number, reason):
                self._set_aside(self.cases[number], "failed", reason)
                yield self._close(
                    number, Outcome(case=self.cases[number], status="failed", reason=f"{reason}. Twice")
                )
        if member.guilty is None and self._open:
            names = ", ".join(self.cases[number].name for number in member.running)
            self._notify(
                f"worker {worker} died ({how})" + (f"; once more, one by one: {names}" if names else "")
            )
        if len(self.crew) < min(self._wanted or 1, len(self._open)):
            self._start_worker()

    def _retry(self, number: int, reason: str) -> bool:
        """Whether a case may be tried again; it is, then."""
        self._attempts[number] = self._attempts.get(number, 0) + 1
        if self._attempts[number] > 1:
            return False
        self._notify(f"{self.cases[number].name}: {reason}; it is tried once more, alone")
        self._suspects.append(number)
        return True

    def _end_the_overdue(self) -> None:
        for member in self.crew.values():
            for number, running in member.running.items():
                if running.seconds > self._timeout_s and member.guilty is None:
                    member.guilty = number
                    member.worker.kill()

    def _close(self, number: int, outcome: Outcome) -> Outcome:
        self._open.discard(number)
        self.counts["kept" if outcome.kept else outcome.status] += 1
        return outcome

    def _stop(self) -> None:
        """End all workers between files, then remember what they had done by then."""
        for member in self.crew.values():
            member.worker.stop()
        self._join()
        with contextlib.suppress(queue.Empty, ResourceError):
            while True:
                worker, message = self._events.get_nowait()
                if "done" in message and worker in self.crew and message["done"] in self._open:
                    self._done(self.crew[worker], message)

    def _take_away_halves(self) -> None:
        """A worker that was killed while it moved files to their places left some without the last."""
        for case in self.cases:
            self._take_away_half(case)

    def _take_away_half(self, case: Case) -> None:
        if case.files and self._journal.begun(case.name) and not case.target.exists():
            for path in case.files:
                path.unlink(missing_ok=True)

    def _set_aside(self, case: Case, status: Status, reason: str) -> None:
        self._take_away_half(case)
        self._journal.set_aside(case.name, status, reason)

    def _join(self) -> None:
        deadline = time.monotonic() + _END_S
        for member in self.crew.values():
            if not member.worker.join(max(0.0, deadline - time.monotonic())):
                member.worker.kill()
                member.worker.join(_END_S)


def scratch_of(folder: Path, worker: int) -> Path:
    """Where a worker's files lie until they are complete: on the disk of the results."""
    return folder / ".medseg-parts" / str(worker)


def _as_error(message: Mapping[str, Any]) -> Exception:
    known = getattr(errors, message["unready"], None) if message["unready"] else None
    if known is not None and issubclass(known, MedsegError):
        return known(message["sentence"])  # type: ignore[no-any-return]  # its class was just checked
    return ResourceError(f"the work could not begin: {message['reason']}\n{message['traceback']}")
